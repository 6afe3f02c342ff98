"""Faults switched by a file, as each request finds it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from livekit.agents import APIStatusError

from voicefleet.contract.errors import ConfigError
from voicefleet.local.faults import Fault, Faults

pytestmark = pytest.mark.unit


def test_without_a_file_all_is_well(tmp_path: Path) -> None:
    assert Faults("", "stt").now() is None
    assert Faults(str(tmp_path / "none.json"), "stt").now() is None


def test_it_is_read_each_time_and_by_stage(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    stt, llm = Faults(str(path), "stt"), Faults(str(path), "llm")
    path.write_text('{"stt": "hang"}')
    assert (stt.now(), llm.now()) == (Fault.HANG, None)
    path.write_text('{"llm": "drop", "stt": ""}')
    assert (stt.now(), llm.now()) == (None, Fault.DROP)
    path.write_text('{"llm": "dr')
    assert llm.now() is Fault.DROP, "half-written: as it was"
    path.unlink()
    assert llm.now() is None


def test_a_fault_that_there_is_not_is_named(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('{"tts": "explode"}')
    with pytest.raises(ConfigError, match="hang, refuse, drop"):
        Faults(str(path), "tts").now()


async def test_what_each_does_at_the_start_of_a_request(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    faults = Faults(str(path), "llm")
    assert await faults.begin() is False
    path.write_text('{"llm": "drop"}')
    assert await faults.begin() is True
    path.write_text('{"llm": "refuse"}')
    with pytest.raises(APIStatusError) as caught:
        await faults.begin()
    assert caught.value.status_code == 429
    path.write_text('{"llm": "hang"}')
    hanging = asyncio.create_task(faults.begin())
    await asyncio.sleep(0)
    assert not hanging.done()
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
