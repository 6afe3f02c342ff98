"""Values survive their way through Redis and through versions; the catalogue keeps its rules."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from voicefleet.contract import codec, metrics
from voicefleet.contract.calls import DispatchMetadata
from voicefleet.contract.claims import Claim, ClaimState
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.contract.parsing.validation import config_error
from voicefleet.contract.reports import WorkerReport, WorkerState

pytestmark = pytest.mark.unit


def report(**changes: object) -> WorkerReport:
    fields = {"worker": "w", "region": "eu", "state": "ready", "slots": 4, "live": 1, "accepting": 1, "uptime_s": 3.5}
    return WorkerReport(**{**fields, **changes})  # type: ignore[arg-type]


def test_round_trip() -> None:
    assert codec.load(WorkerReport, codec.dump(report())) == report()
    claim = Claim("w", "j", 3, ClaimState.LIVE)
    assert codec.load(Claim, codec.dump(claim)) == claim


def test_fields_of_a_newer_release_are_passed_over() -> None:
    raw = {**json.loads(codec.dump(report())), "added_later": [1]}
    assert codec.load(WorkerReport, json.dumps(raw)) == report()


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"v": 2, "worker": "w"}', '{"v": 1}', '{"v": "x"}'])
def test_unreadable_is_unknown_never_absent(text: str) -> None:
    with pytest.raises(UnknownStateError):
        codec.load(WorkerReport, text)


@pytest.mark.parametrize(
    ("state", "free"), [(WorkerState.READY, 2), (WorkerState.DRAINING, 0), (WorkerState.STARTING, 0)]
)
def test_only_a_ready_worker_has_free_slots(state: WorkerState, free: int) -> None:
    assert report(state=state.value).free == free


def test_keys_of_a_region_share_one_hash_slot() -> None:
    keys = Keys("eu")
    names = [keys.workers, keys.callers, keys.waiting, keys.inflight, keys.claim("r"), keys.report("w"), keys.call("r")]
    assert all("{eu}" in name for name in names)
    assert len(set(names)) == len(names)
    assert keys.claim("r") == keys.claim_prefix + "r"
    assert keys.call("r") == keys.call_prefix + "r"


@pytest.mark.parametrize("text", ["", "hello", '{"some": "json"}', "[1]", '{"v": 1, "attempt": []}'])
def test_a_front_ends_own_text_is_the_calls_metadata(text: str) -> None:
    assert DispatchMetadata.decode(text).metadata == text or text == ""


def test_dispatch_metadata_round_trip_keeps_what_it_does_not_know() -> None:
    sent = DispatchMetadata("fast", "m", 2, {"trace": "t"})
    assert DispatchMetadata.decode(sent.encode()) == sent


def test_catalogue_keeps_its_rules() -> None:
    names = [m.name for m in metrics.CATALOGUE]
    assert len(names) == len(set(names)) > 10
    forbidden = {"room", "call", "participant", "trace", "job", "identity"}
    for metric in metrics.CATALOGUE:
        assert metric.name.startswith("voicefleet_")
        assert not metric.name.endswith("_total")
        assert not forbidden & set(metric.labels)
        assert (metric.kind == "histogram") == bool(metric.buckets)
        assert list(metric.buckets) == sorted(set(metric.buckets))


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    api_secret: str = ""
    port: int = 1


class _Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: _Inner


@pytest.mark.parametrize(
    ("raw", "field", "says", "hides"),
    [
        ({"inner": {"prot": 2}}, "inner.prot", "Did you mean port?", ""),
        ({"inner": {"port": "many"}}, "inner.port", "'many'", ""),
        ({"inner": {"api_secret": 12345}}, "inner.api_secret", "string", "12345"),
        ({}, "inner", "is missing", ""),
    ],
)
def test_config_errors_name_field_value_and_hint(raw: dict[str, object], field: str, says: str, hides: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate(raw)
    error = config_error(caught.value, _Outer, source="x.yaml")
    assert error.field == field
    assert says in str(error)
    assert not hides or hides not in str(error)
    assert error.hint
