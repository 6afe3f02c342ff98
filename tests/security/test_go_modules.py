"""A module proxy that answers with other bytes for livekit-server is found out, whatever the environment says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from voicefleet.contract.errors import UsageError
from voicefleet.stack import livekit_build
from voicefleet.stack.find import LIVEKIT_VERSION, find_go

pytestmark = pytest.mark.integration


@pytest.fixture
def other_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our module, with a checksum that the published livekit-server does not have."""
    if find_go() is None:
        pytest.skip("there is no Go 1.26 here: livekit-server is not built on this machine")
    module = tmp_path / "go"
    shutil.copytree(livekit_build.MODULE, module)
    sums = (module / "go.sum").read_text()
    ours = rf"(github\.com/livekit/livekit-server v{re.escape(LIVEKIT_VERSION)} h1:)\S+"
    changed, count = re.subn(ours, rf"\g<1>{'A' * 43}=", sums)
    assert count == 1
    (module / "go.sum").write_text(changed)
    monkeypatch.setattr(livekit_build, "MODULE", module)
    return module


@pytest.mark.parametrize("flags", ["", "-mod=mod"])
def test_a_livekit_server_with_another_checksum_is_not_built(
    flags: str, other_sum: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", flags)
    monkeypatch.setenv("GONOSUMDB", "*")
    monkeypatch.setenv("GOWORK", str(tmp_path / "go.work"))
    before = (other_sum / "go.sum").read_text()
    go = find_go()
    assert go is not None
    with pytest.raises(UsageError, match="module-auth"):
        livekit_build.go_build(go.path, tmp_path / "livekit-server", lambda line: None)
    assert not (tmp_path / "livekit-server").exists()
    assert (other_sum / "go.sum").read_text() == before
