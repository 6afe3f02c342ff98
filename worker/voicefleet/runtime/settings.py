"""What every process of ours takes from its environment, whichever command it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping

from voicefleet.contract.errors import ConfigError

PERSONAL_DATA_VARIABLE = "VOICEFLEET_LOG_PERSONAL_DATA"
_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def log_personal_data(env: Mapping[str, str] | None = None) -> bool:
    """Whether logs may tell personal data, the texts of errors included. Off unless asked for.

    Raises:
        ConfigError: the variable is neither true nor false.
    """
    text = (os.environ if env is None else env).get(PERSONAL_DATA_VARIABLE, "").strip().lower()
    if text and text not in _WORDS:
        raise ConfigError(
            "neither true nor false", field=PERSONAL_DATA_VARIABLE, value=text, hint="Give true or false."
        )
    return _WORDS.get(text, False)
