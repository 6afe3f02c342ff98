"""Reads the controller's settings file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.documents import parse_yaml
from voicefleet.contract.parsing.renamed import SETTINGS_FILE, refuse_old_variables
from voicefleet.contract.parsing.validation import validated
from voicefleet.controller.settings.controller import Settings


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings in `path`, and look up the secrets that they name.

    Raises:
        ConfigError: naming the field, its value and the hint; everything that is wrong at once.
    """
    env = os.environ if environment is None else environment
    refuse_old_variables(env)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror})", field=str(path), hint="Give the path of a settings file."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not YAML", field=str(path), hint="Correct the file.") from error
    raw = parse_yaml(text, field=str(path))
    if not isinstance(raw, dict):
        raise ConfigError("not a mapping of fields", field=str(path), hint="Start with `regions:`.")
    return validated(Settings, raw, source=str(path), context=env, renamed=SETTINGS_FILE)


def inherited_environment() -> Mapping[str, str]:
    """The controller's own environment, which its workers inherit."""
    return os.environ
