"""What a real worker tells of real calls: metrics while they last, exemplars, spans, and nothing personal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from integration.test_worker import call, ticket
from livekit import api
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.otlp_receiver import Received, attributes, otlp_receiver
from support.worker_process import WorkerProcess, worker
from voicefleet.callers.caller import Caller
from voicefleet.chaos.packets import open_filter
from voicefleet.contract import metrics
from voicefleet.contract.api import CallTicket
from voicefleet.contract.calls import CallOrder, DispatchMetadata
from voicefleet.contract.errors import MissingPartError
from voicefleet.contract.spans import trace_of_room
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

TRACE = "0af7651916cd43dd8448eb211c80319c"
PERSONAL = "Mrs Example, account 4711"


async def scrape(w: WorkerProcess) -> str:
    """OpenMetrics, as Prometheus asks for it."""
    report = await w.report()
    assert report is not None
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"http://127.0.0.1:{report.http_port}/metrics") as answer,
    ):
        assert answer.content_type == "application/openmetrics-text"
        return await answer.text()


def samples(text: str) -> list[Any]:
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


def value(text: str, sample: str, **labels: str) -> float:
    """The sum of the samples of this name whose labels include these."""
    return math.fsum(s.value for s in samples(text) if s.name == sample and labels.items() <= s.labels.items())


async def until(w: WorkerProcess, sample: str, least: float, limit_s: float = 15.0, **labels: str) -> str:
    try:
        async with asyncio.timeout(limit_s):
            while value(text := await scrape(w), sample, **labels) < least:
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"{sample}{labels} not {least} within {limit_s} s:\n{text}\n{w.child.log_tail()}")
    return text


async def traced_call(livekit: LiveKit, room: str, turns: int, header: str = f"00-{TRACE}-b7ad6b7169203331-01") -> None:
    metadata = DispatchMetadata(CallOrder(metadata=PERSONAL, traceparent=header)).encode()
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity("Mrs Example")
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(
            api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet", metadata=metadata)])
        )
        .to_jwt()
    )
    outcome = await Caller(
        room, CallTicket(url=livekit.url, token=token, room=room, region="test"), load_utterances()[:turns]
    ).run()
    assert [t.answered for t in outcome.turns] == [True] * turns, outcome


async def test_a_calls_metrics_appear_while_it_lives(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with worker(livekit, redis_url, tmp_path) as w:
        running = asyncio.create_task(call(livekit, "living", turns=4))
        text = await until(w, "voicefleet_call_mos_estimated_count", 1, 25.0, direction="inbound")
        text = await until(w, "voicefleet_turn_ttfa_seconds_count", 1, tier="synthetic", agent="voicefleet")
        assert not running.done(), "all this is there before the call ends"
        assert value(text, "voicefleet_greeting_seconds_count", result="ok") == 1
        assert value(text, "voicefleet_call_setup_seconds_count", result="ok") == 1
        assert value(text, "voicefleet_samples_total", direction="inbound") > 48_000
        assert value(text, "voicefleet_turn_stage_duration_seconds_count", stage="llm_ttft") >= 1
        outcome = await running
        assert outcome.answered
        text = await until(w, "voicefleet_call_packet_loss_ratio_count", 1, 5.0, direction="outbound")
        assert value(text, "voicefleet_call_rtt_seconds_count") >= 1
        mean = value(text, "voicefleet_call_mos_estimated_sum") / value(text, "voicefleet_call_mos_estimated_count")
        assert mean > 4.2, "loopback loses nothing"
        assert value(text, "voicefleet_turn_ttfa_seconds_count") == 4
        for stage in ("eou", "stt", "callback", "llm_ttft", "tts_ttfb"):
            assert value(text, "voicefleet_turn_stage_duration_seconds_count", stage=stage) == 4, stage
        refused = {reason for s in samples(text) if (reason := metrics.refusal(s.name, s.labels))}
        assert not refused
        assert len([line for line in text.splitlines() if not line.startswith("#")]) < metrics.WORKER_SERIES_MOST
        assert "# {" not in text, "no exemplar leads to a trace that nobody has"
        _has_one_line_a_turn(tmp_path / "w-1.log", turns=4)


def _has_one_line_a_turn(log: Path, turns: int) -> None:
    """Without an endpoint for traces too, each line leads to its call: by room, by call and by trace."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    found = [line for line in lines if line["event"] == "turn over"]
    assert [line["outcome"] for line in found] == ["completed"] * turns
    for line in found:
        assert (line["room"], line["trace_id"]) == ("living", trace_of_room(line["call"]))
        assert 0.1 < line["ttfa_s"] < 5
        assert {"eou", "llm_ttft", "tts_ttfb"} <= line["stages"].keys() == line["providers"].keys()
    [joined] = [line for line in lines if line["event"] == "agent joined"]
    assert (joined["how"], joined["call"]) == ("answered", found[0]["call"])


LOSS_RATIO = 0.2


async def test_loss_on_the_path_moves_the_metrics_the_right_way(
    livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        try:
            rules = await stack.enter_async_context(open_filter())
        except MissingPartError as error:
            if environment().get("CI"):
                raise
            pytest.skip(str(error))
        w = await stack.enter_async_context(worker(livekit, redis_url, tmp_path))
        utterances = load_utterances()
        ticket_ = CallTicket(url=livekit.url, token=ticket(livekit, "lossy"), room="lossy", region="test")
        running = asyncio.create_task(Caller("lossy", ticket_, utterances[:8]).run())
        clean = await until(w, "voicefleet_call_packet_loss_ratio_count", 2, 40.0, direction="inbound")
        await rules.lose(livekit.settings.rtc_udp_port, LOSS_RATIO)
        for direction in ("inbound", "outbound"):
            told = value(clean, "voicefleet_call_packet_loss_ratio_count", direction=direction)
            lossy = await until(w, "voicefleet_call_packet_loss_ratio_count", told + 3, 40.0, direction=direction)
            assert await rules.dropped() > 0
            before, after = (_means(text, direction) for text in (clean, lossy))
            assert after["loss"] > before["loss"] + 0.02, (direction, before, after)
            assert after["mos"] < before["mos"] - 0.2, (direction, before, after)
        concealed = value(lossy, "voicefleet_concealed_samples_total") - value(
            clean, "voicefleet_concealed_samples_total"
        )
        assert concealed > 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _means(text: str, direction: str) -> dict[str, float]:
    """Mean loss and MOS of the intervals so far."""

    def mean(metric: str) -> float:
        total = value(text, f"{metric}_sum", direction=direction)
        return total / value(text, f"{metric}_count", direction=direction)

    return {"loss": mean("voicefleet_call_packet_loss_ratio"), "mos": mean("voicefleet_call_mos_estimated")}


def _tree(received: Received) -> dict[str, str]:
    names = {span.span_id: span.name for _, span in received.spans}
    return {span.name: names.get(span.parent_span_id, span.parent_span_id.hex()) for _, span in received.spans}


async def test_a_call_is_one_trace_that_exemplars_lead_to(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with otlp_receiver() as received:
        async with worker(livekit, redis_url, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=received.url) as w:
            await traced_call(livekit, "traced", 2)
            text = await until(w, "voicefleet_turn_ttfa_seconds_count", 2)
            assert f'# {{trace_id="{TRACE}"}}' in text
            await received.until("invoke_agent")
        assert {span.trace_id.hex() for _, span in received.spans} == {TRACE}
        tree = _tree(received)
        assert tree["invoke_agent"] == "b7ad6b7169203331", "the front end's span is the parent"
        assert {tree[name] for name in ("join", "greeting", "turn")} == {"invoke_agent"}
        stages = ("end_of_turn", "speech_to_text", "callback", "chat", "text_to_speech", "first_audio")
        assert {tree[name] for name in stages} == {"turn"}
        turns = received.named("turn")
        assert len(turns) == 2
        assert all(0.1 < float(str(attributes(turn)["voicefleet.turn.ttfa_s"])) < 5 for turn in turns)
        assert attributes(received.named("chat")[0])["gen_ai.operation.name"] == "chat"
        assert all(span.end_time_unix_nano >= span.start_time_unix_nano for _, span in received.spans)
        log = (tmp_path / "w-1.log").read_text()
        assert f'"trace_id": "{TRACE}"' in log
        everything = b"".join(received.bodies).decode("utf-8", "replace") + log + text
        for personal in (PERSONAL, "Mrs Example", *(u.text for u in load_utterances()[:2])):
            assert personal not in everything
        assert "traced" not in text + str(received.bodies), "a room's name is the front end's"


async def test_an_endpoint_that_is_down_costs_one_warning(livekit: LiveKit, redis_url: str, tmp_path: Path) -> None:
    async with worker(livekit, redis_url, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as w:
        await traced_call(livekit, "nowhere", 2)
        await until(w, "voicefleet_spans_total", 1, 20.0, result="failed")
        await traced_call(livekit, "nowhere-2", 1)
    log = (tmp_path / "w-1.log").read_text()
    assert log.count("traces do not reach their endpoint") == 1
    assert "Traceback" not in log
