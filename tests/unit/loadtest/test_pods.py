"""A load test on Kubernetes, without a cluster: what pods are told and tell, and what the starter makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from support.outcomes import FAILED, GOOD
from support.terminal import terminal, text_of
from support.virtual_time import LoopClock, now_s, run
from voicefleet.callers.health import GeneratorHealth
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.stages import PARTS
from voicefleet.contract.errors import ConfigError, UnreachableError, UsageError
from voicefleet.loadtest.arrivals import Arrivals
from voicefleet.loadtest.command_loadtest import LoadOptions
from voicefleet.loadtest.merging import merged
from voicefleet.loadtest.options import kubernetes_fields, on_kubernetes
from voicefleet.loadtest.pods.api import FORBIDDEN, NOT_FOUND, ApiError, JobApi
from voicefleet.loadtest.pods.gate import ALONE_AFTER_S, ANNOTATION, Attendance, Told, parse_told
from voicefleet.loadtest.pods.job import JobRun, run_on_pods
from voicefleet.loadtest.pods.lines import Teller, parse_line
from voicefleet.loadtest.pods.manifest import LABEL, Manifest, job, parse_template, plan_map
from voicefleet.loadtest.pods.plan import parse_plan, plan_of
from voicefleet.loadtest.pods.record import INDEX, SILENT_S, PodRecord, PodState, pod_state
from voicefleet.loadtest.run import LoadRun
from voicefleet.loadtest.scenario import Callers, OnKubernetes, Scenario, Target
from voicefleet.loadtest.stage_times import CallReads

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)
SPIKE = Scenario(
    arrivals=Arrivals(shape="spike", rate=0.5, factor=5, duration_s=30),
    callers=Callers(turns=2, recordings=Path("/recordings")),
    target=Target(token_url="https://x/token", token_headers={"Authorization": "STAGING_TOKEN"}),
    seed=7,
    fail_if=("ttfa_p95>1.0",),
    kubernetes=OnKubernetes(pods=3),
)
TEMPLATE: Manifest = {
    "kind": "Job",
    "metadata": {"labels": {"app": "x"}, "namespace": "other"},
    "spec": {
        "ttlSecondsAfterFinished": 60,
        "template": {
            "metadata": {"annotations": {"note": "x"}},
            "spec": {
                "containers": [
                    {
                        "name": "loadtest",
                        "image": "voicefleet/loadtest:1",
                        "env": [
                            {"name": "VOICEFLEET_CONTROLLER_KEY", "valueFrom": {"secretKeyRef": {"name": "k"}}},
                            {"name": "HOME", "value": "/tmp"},
                        ],
                        "ports": [{"name": "metrics", "containerPort": 8082}],
                        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            },
        },
    },
}
RUNNING = {"running": {"startedAt": "x"}}


def a_pod(
    name: str, index: int | None, state: dict[str, Any] | None = None, phase: str = "Running", **status: Any
) -> Any:
    annotations = {} if index is None else {INDEX: str(index)}
    mesh = {"name": "istio-proxy", "state": {"running": {}}}
    statuses = [mesh, {"name": "loadtest", "state": state}] if state is not None else [mesh]
    return {
        "metadata": {"name": name, "annotations": annotations},
        "status": {"phase": phase, "containerStatuses": statuses, **status},
    }


# --- the plan, and what pods are told ---


def test_a_plan_arrives_whole_with_its_times_and_without_what_is_the_starters() -> None:
    offsets = [float(offset) for offset in SPIKE.arrivals.offsets(SPIKE.seed)]
    made = parse_plan(plan_of(SPIKE, offsets, 3, "go").to_json())
    assert made.offsets_s == tuple(offsets)
    assert (made.shares, made.engine) == (3, "go")
    assert made.scenario == SPIKE.model_copy(update={"kubernetes": None, "fail_if": ()})


def test_a_plan_of_another_version_is_refused() -> None:
    for text in ('{"v": 2}', "[]", '{"v": 1, "scenario": {}}', "{"):
        with pytest.raises(ConfigError, match="the plan of the load test"):
            parse_plan(text)


def test_a_pod_takes_no_half_word_for_a_start() -> None:
    assert parse_told(Told(3, 12.5).to_json()) == Told(3, 12.5)
    assert parse_told(Told(0).to_json()) == Told(0)
    for text in ("", '{"beat": 1', "{}", '{"beat": 1, "start_at": "x"}'):
        assert parse_told(text) is None


def test_a_pod_that_hears_nothing_new_is_alone() -> None:
    attendance = Attendance(0.0)
    assert attendance.look(None, ALONE_AFTER_S - 1)
    assert attendance.look(Told(1), 100.0)
    assert attendance.look(Told(1, 5.0), 100.0 + ALONE_AFTER_S - 1)
    assert not attendance.look(Told(1, 5.0), 100.0 + ALONE_AFTER_S), "the same words again are no sign of life"
    assert not Attendance(0.0).look(None, ALONE_AFTER_S)


# --- the objects ---


def test_the_job_is_the_charts_with_what_makes_its_pods_play_together() -> None:
    made = job(TEMPLATE, name="lt-1", pods=3, secret=None, lasts_s=90.5)
    assert made["metadata"] == {"labels": {"app": "x", LABEL: "lt-1"}, "name": "lt-1"}
    spec = dict(made["spec"])
    pod = spec.pop("template")
    assert spec == {
        "ttlSecondsAfterFinished": 60,
        "completions": 3,
        "parallelism": 3,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": 0,
        "podReplacementPolicy": "Failed",
        "backoffLimit": 2**31 - 1,
        "activeDeadlineSeconds": 90,
        "suspend": True,
    }
    assert pod["metadata"] == {"annotations": {"note": "x", ANNOTATION: ""}, "labels": {LABEL: "lt-1"}}
    [container] = pod["spec"]["containers"]
    assert container["args"] == [
        *("loadtest", "pod", "--plan=/etc/voicefleet/plan/plan.json", "--gate=/etc/voicefleet/gate/told"),
        "--metrics=0.0.0.0:8082",
    ]
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["tmp", "plan", "gate"]
    assert "envFrom" not in container
    assert TEMPLATE["spec"]["template"]["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {}}], "it is not changed"


def test_a_secret_of_ones_own_takes_the_place_of_the_releases_key() -> None:
    made = job(TEMPLATE, name="lt-1", pods=1, secret="staging", lasts_s=1)
    [container] = made["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "staging"}}]
    assert [entry["name"] for entry in container["env"]] == ["HOME"]


@pytest.mark.parametrize("text", ["", "a: [", "kind: Pod", "{kind: Job, spec: {template: {spec: {containers: []}}}}"])
def test_a_template_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="--job-template = 'x'"):
        parse_template(text, name="x")


def test_the_plans_config_map_goes_with_the_job_and_no_secret_is_in_it() -> None:
    made = plan_map("lt-1", "uid-1", plan_of(SPIKE, [0.0], 1, "go").to_json())
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert "STAGING_TOKEN" in json.dumps(made), "the name of a variable, whose value pods have from a Secret"
    with pytest.raises(ConfigError, match="ConfigMap takes"):
        plan_map("lt-1", "uid-1", "x" * 1_000_001)


# --- what pods tell ---


class Log:
    """A teller whose lines a record takes, after `delay_s`; the pod's clock is ahead by `ahead_s`."""

    def __init__(self, planned: int = 3, ahead_s: float = 0.0, watcher: Any = None) -> None:
        self.now_s, self.ahead_s, self.delay_s = 100.0, ahead_s, 0.0
        self.lines: list[str] = []
        self.record = PodRecord(1, planned, self.now_s, watcher)
        self.tell = Teller(self._write, lambda: 1000.0 + self.now_s + self.ahead_s)

    def _write(self, line: str) -> None:
        self.lines.append(line)
        self.record.take(line + "\n", self.now_s + self.delay_s, 1000.0 + self.now_s + self.delay_s)


def calls(*numbers: int) -> list[CallOutcome]:
    return [replace(GOOD, call_id=f"call-{number:05d}") for number in numbers]


def test_a_pod_that_ends_in_order_is_whole() -> None:
    log = Log(planned=2)
    log.tell.ready()
    log.tell.began(0.0)
    log.tell.beat(FINE)
    assert not log.record.over
    for call in calls(1, 4):
        log.tell.call(call)
    log.tell.end(LoadRun((), replace(FINE, pacing_p99_s=0.001), 30.0, {"name": "go", "packets": None}))
    part = log.record.part()
    assert log.record.over
    assert (part.missing, part.wall_s, part.engine) == ("", 30.0, {"name": "go", "packets": None})
    assert part.health == replace(FINE, pacing_p99_s=0.001)
    assert part.outcomes == tuple(calls(1, 4)), "a call arrives as it was"


def test_what_the_workers_measured_comes_after_the_calls_and_is_merged() -> None:
    seen = Seen()
    log = Log(planned=2, watcher=seen)
    log.tell.ready()
    log.tell.began(0.0)
    first, second = calls(1, 4)
    for call in (first, second):
        log.tell.call(call)
    parts = dict.fromkeys(PARTS, 0.0) | {"llm": 0.4, "network": 0.1}
    known = replace(first, turns=tuple(replace(turn, worker_ttfa_s=0.4, parts=parts) for turn in first.turns))
    log.tell.stage_times([known, second], CallReads(2, 1, 1, "away"))
    log.tell.end(LoadRun((), FINE, 30.0, {"name": "go", "packets": None}))
    part = log.record.part()
    assert part.outcomes == (known, second)
    assert len(seen.all) == 2, "a call is over once"
    stages = merged([part, part], fail_if=(), timeout_s=10.0)["stages"]
    assert (stages["calls"], stages["read"], stages["unknown"], stages["why"]) == (4, 2, 2, "away")
    assert stages["parts"]["llm"]["p50"] == 0.4


class Seen:
    def __init__(self) -> None:
        self.all: list[Any] = []

    def on_event(self, call_id: str, kind: str, _t_s: float, data: Any) -> None:
        self.all.append((call_id, kind, data))

    def finished(self, outcome: CallOutcome) -> None:
        self.all.append(outcome.call_id)


def test_whoever_watches_sees_the_calls_of_all_pods() -> None:
    seen, log = Seen(), Log()
    log.record = PodRecord(1, 3, 0.0, seen)
    log.tell.event("call-1", "due", {"lag_s": 0.1, "x": 2})
    log.tell.event("call-1", "joined", {"room": "r"})
    assert log.record.joined
    log.tell.event("call-1", "greeting", {})
    log.tell.event("call-1", "reply", {"ttfa_s": 0.7, "text": "t"})
    log.tell.call(calls(1)[0])
    assert seen.all == [
        ("call-1", "due", {"lag_s": 0.1}),
        ("call-1", "joined", {}),
        ("call-1", "reply", {"ttfa_s": 0.7}),
        "call-00001",
    ]


def test_what_is_read_again_counts_once_and_what_others_log_is_nothing() -> None:
    log = Log()
    log.tell.ready()
    log.tell.call(calls(1)[0])
    for line in (*log.lines, "WARNING x", '{"level": "info", "loadtest": 1}', '{"loadtest": "call"}', ""):
        log.record.take(line, 101.0, 0.0)
    assert len(log.record.outcomes) == 1
    assert parse_line('{"loadtest": "beat", "n": 1, "at": 5}') is not None


def test_clocks_are_compared_by_the_line_that_took_the_least_time() -> None:
    log = Log(ahead_s=7.0)
    for delay_s in (3.0, 0.2, 0.9):
        assert not log.record.ready
        log.delay_s = delay_s
        log.tell.ready()
        log.now_s += 1.0
    assert log.record.ready
    assert log.record.clock_offset_s == pytest.approx(6.8)


def test_what_a_killed_pod_had_told_is_kept() -> None:
    log = Log()
    log.tell.began(0.0)
    log.tell.call(calls(1)[0])
    log.now_s += 12.0
    log.tell.beat(FINE)
    log.record.see(PodState("lt-1-1-abcde", 1, True, True, why="killed: OOMKilled"))
    assert not log.record.over, "there may be more in its log"
    log.record.log_over = True
    part = log.record.part()
    assert log.record.over
    assert part.missing == "pod 1: killed: OOMKilled; 2 of its 3 calls are missing"
    assert (part.wall_s, part.health) == (12.0, FINE)


def test_a_pod_that_breaks_is_told_with_its_last_words_and_one_that_is_gone_without() -> None:
    log = Log()
    log.tell.ready()
    log.record.take("RuntimeError: nothing works\n", 101.0, 0.0)
    log.record.see(PodState("p", 1, True, True, why="its container ended with exit code 1"))
    log.record.log_over = True
    assert "exit code 1 (RuntimeError: nothing works); 3 of its 3" in log.record.part().missing
    log.record.see(None)
    assert "its pod is gone; 3 of its 3" in log.record.part().missing


def test_a_pod_that_was_told_to_stop_says_so() -> None:
    log = Log()
    log.tell.call(calls(1)[0])
    log.tell.stopped("it was told to stop, and its callers hung up", FINE, 5.0)
    assert log.record.over
    assert log.record.part().missing.startswith("pod 1: it was told to stop, and its callers hung up; 2 of")


def test_a_silent_pod_is_given_up_but_not_while_nobody_can_be_heard() -> None:
    log = Log()
    log.tell.began(0.0)
    late_s = log.now_s + SILENT_S + 1
    log.record.give_up_if_silent(late_s, answered_s=log.now_s + 5.0)
    assert not log.record.over
    log.record.give_up_if_silent(late_s, answered_s=late_s)
    assert log.record.over
    assert "nothing was heard of it for 60 s" in log.record.part().missing


def test_lines_of_another_version_are_borne() -> None:
    log = Log()
    log.tell.call(calls(1)[0])
    later = json.loads(log.lines[0])
    later["n"], later["call"]["call_id"], later["call"]["mos"] = 7, "call-00004", 4.2
    log.record.take(json.dumps(later), 1.0, 1.0)
    log.record.take('{"loadtest": "call", "n": 8, "at": 5, "call": {}}', 1.0, 1.0)
    log.record.take('{"loadtest": "weather", "n": 9, "at": 5}', 1.0, 1.0)
    assert sorted(log.record.outcomes) == ["call-00001", "call-00004"]


def test_another_pod_of_the_same_index_plays_another_plan() -> None:
    record = PodRecord(0, 1, 0.0)
    record.see(PodState("first", 0, True, False))
    record.see(PodState("second", 0, True, False))
    assert record.pod == "first"


@pytest.mark.parametrize(
    ("manifest", "state"),
    [
        (a_pod("p", 2, RUNNING), PodState("p", 2, True, False)),
        (a_pod("p", None, RUNNING), None),
        (
            a_pod("p", 0, {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "Failed"),
            PodState("p", 0, True, True, why="killed: OOMKilled"),
        ),
        (
            a_pod("p", 0, {"terminated": {"exitCode": 1, "reason": "Error"}}, "Failed"),
            PodState("p", 0, True, True, why="its container ended with exit code 1"),
        ),
        (
            a_pod("p", 0, None, "Failed", reason="Evicted", message="low on memory"),
            PodState("p", 0, False, True, why="its pod ended: Evicted low on memory"),
        ),
        (
            a_pod("p", 0, {"waiting": {"reason": "ErrImageNeverPull", "message": "x is not there"}}, "Pending"),
            PodState("p", 0, False, False, True, "ErrImageNeverPull: x is not there"),
        ),
        (
            a_pod("p", 0, {"waiting": {"reason": "ContainerCreating"}}, "Pending"),
            PodState("p", 0, False, False, why="not started yet: ContainerCreating"),
        ),
        (
            a_pod("p", 0, None, "Pending", conditions=[{"type": "PodScheduled", "status": "False", "message": "cpu"}]),
            PodState("p", 0, False, False, why="no node takes it: cpu"),
        ),
    ],
)
def test_what_kubernetes_says_of_a_pod(manifest: Any, state: PodState | None) -> None:
    assert pod_state(manifest, "loadtest") == state


# --- the starter ---


class WallClock(LoopClock):
    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=now_s())


EPOCH_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class PlayedCluster:
    """A cluster whose pods behave as `behave` says, a coroutine for each.

    Attributes:
        told: of each pod, what was written into its annotation, and when.
    """

    namespace = "voice"

    def __init__(self, behave: Callable[[PlayedPod], Any], *, template: Manifest = TEMPLATE) -> None:
        self._behave, self._template = behave, template
        self.pods_there: dict[str, PlayedPod] = {}
        self.told: dict[str, list[tuple[float, Told]]] = {}
        self.deleted: list[str] = []
        self.made: list[str] = []
        self.away = False
        self.refuses: dict[str, int] = {}

    def _answer(self, what: str) -> None:
        if self.away or what in self.refuses:
            raise ApiError(f"cannot {what}", self.refuses.get(what, 0))

    async def template(self, _name: str) -> str:
        return yaml.safe_dump(self._template)

    async def create_job(self, manifest: Manifest) -> str:
        self._answer("create")
        self.made.append("Job")
        self._pods = manifest["spec"]["completions"]
        return "uid-1"

    async def create_config_map(self, manifest: Manifest) -> None:
        self._answer("create ConfigMap")
        self.made.append("ConfigMap")
        self.plan = parse_plan(manifest["data"]["plan.json"])

    async def resume(self, job: str) -> None:
        self.made.append("resume")
        for index in range(self._pods):
            pod = PlayedPod(f"{job}-{index}", index, len(self.plan.share(index)))
            pod.numbers = self.plan.share(index).numbers
            self.pods_there[pod.name] = pod
            pod.task = asyncio.create_task(self._behave(pod))

    async def pods(self, _job: str) -> list[Manifest]:
        self._answer("list")
        return [a_pod(pod.name, pod.index, pod.state) for pod in self.pods_there.values()]

    async def tell(self, pod: str, text: str) -> None:
        self._answer("annotate")
        told = parse_told(text)
        assert told is not None
        self.told.setdefault(pod, []).append((now_s(), told))
        self.pods_there[pod].told = told

    async def warnings(self, _uid: str) -> list[str]:
        return ["exceeded quota"]

    async def log(self, pod: str, container: str, since_s: int | None, *, follow: bool) -> AsyncIterator[str]:
        assert container == "loadtest"
        read = 0
        there = self.pods_there[pod]
        while True:
            self._answer("read the log")
            for line in there.lines[read:]:
                yield line + "\n"
            read = len(there.lines)
            if not follow or "terminated" in there.state:
                return
            await asyncio.sleep(0.05)

    async def delete(self, job: str) -> None:
        self._answer("delete")
        self.deleted.append(job)

    def usage_error(self, error: ApiError) -> UsageError:
        return UnreachableError(str(error), field="--namespace", value="voice", hint="Ask.")


class PlayedPod:
    """A pod; `ahead_s`: its clock before ours."""

    def __init__(self, name: str, index: int, planned: int) -> None:
        self.name, self.index, self.planned = name, index, planned
        self.numbers: tuple[int, ...] = ()
        self.ahead_s = 0.0
        self.state: dict[str, Any] = RUNNING
        self.lines: list[str] = []
        self.told: Told | None = None
        self.began_s: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.tell = Teller(self.lines.append, self.clock_s)

    def clock_s(self) -> float:
        return EPOCH_S + now_s() + self.ahead_s

    async def start(self) -> None:
        while self.told is None or self.told.start_at is None:
            self.tell.ready()
            await asyncio.sleep(1.0)
        await asyncio.sleep(max(0.0, self.told.start_at - self.clock_s()))
        self.began_s = now_s()
        self.tell.began(0.0)

    def call(self, number: int) -> None:
        self.tell.call(replace(GOOD, call_id=f"call-{number:05d}", t_start_s=float(number)))

    def end(self, exit_code: int = 0, reason: str = "") -> None:
        self.state = {"terminated": {"exitCode": exit_code, "reason": reason}}

    async def play(self) -> None:
        await self.start()
        for number in self.numbers:
            await asyncio.sleep(1.0)
            self.tell.beat(FINE)
            self.tell.event(f"call-{number:05d}", "joined", {})
            self.call(number)
        self.tell.end(LoadRun((), FINE, 9.0, {"name": "python", "playout_delay_s": 0.0, "packets": None}))
        self.end()


EIGHT = Scenario(arrivals=Arrivals(rate=1, calls=8), kubernetes=OnKubernetes(pods=2, ready_within_s=60.0))


def started(cluster: PlayedCluster, scenario: Scenario = EIGHT, cancel_after_s: float | None = None) -> Any:
    """Run it in virtual time. Whatever becomes of it, all is cleaned up at its end."""
    where = scenario.kubernetes
    assert where is not None
    console = terminal(200)

    async def play() -> Any:
        plan = plan_of(scenario, list(map(float, scenario.arrivals.offsets(1))), where.pods, "python")
        starter = JobRun(plan, where, cast(JobApi, cluster), console, "x", WallClock())
        try:
            async with asyncio.timeout(cancel_after_s):
                return await starter.play()
        finally:
            for pod in cluster.pods_there.values():
                assert pod.task is not None
                pod.task.cancel()

    try:
        return run(play())
    finally:
        assert cluster.deleted or not cluster.made or cluster.away or "delete" in cluster.refuses
        cluster.said = text_of(console)  # type: ignore[attr-defined]


def test_all_pods_start_together_whatever_their_clocks_say_and_all_calls_come_back() -> None:
    async def play(pod: PlayedPod) -> None:
        pod.ahead_s = 40.0 * pod.index
        await pod.play()

    cluster = PlayedCluster(play)
    result = started(cluster)
    assert cluster.made == ["Job", "ConfigMap", "resume"], "no pod before its plan is there"
    began = [pod.began_s for pod in cluster.pods_there.values()]
    assert max(began) - min(began) < 0.2  # type: ignore[operator,type-var]
    assert result["verdict"] == "good"
    assert [call["call_id"] for call in result["outcomes"]] == [f"call-{number:05d}" for number in range(8)]
    assert [part["clock_offset_s"] for part in result["parts"]] == pytest.approx([0.0, 40.0], abs=0.2)
    assert len(cluster.deleted) == 1


def test_a_killed_pod_leaves_what_it_had_told_and_the_run_goes_on() -> None:
    async def play(pod: PlayedPod) -> None:
        if pod.index == 0:
            await pod.play()
            return
        await pod.start()
        pod.call(1)
        pod.end(137, "Error")

    result = started(PlayedCluster(play))
    assert result["verdict"] == "partial"
    assert result["missing"] == ["pod 1: killed; 3 of its 4 calls are missing"]
    assert len(result["outcomes"]) == 5


def test_the_api_may_be_away_while_pods_play() -> None:
    cluster = PlayedCluster(PlayedPod.play)

    async def play(pod: PlayedPod) -> None:
        await pod.start()
        cluster.away = True
        for number in pod.numbers:
            await asyncio.sleep(30.0)
            pod.call(number)
        pod.tell.end(LoadRun((), FINE, 9.0, {"name": "python", "packets": None}))
        pod.end()
        cluster.away = False

    cluster._behave = play
    assert started(cluster)["verdict"] == "good"


def test_pods_are_told_again_and_again_that_their_starter_lives() -> None:
    async def play(pod: PlayedPod) -> None:
        await pod.start()
        for _ in range(100):
            pod.tell.beat(FINE)
            await asyncio.sleep(5.0)
        pod.end(1)

    cluster = PlayedCluster(play)
    started(cluster)
    for told in cluster.told.values():
        times = [at_s for at_s, _ in told]
        assert max(later - sooner for sooner, later in pairwise(times)) < ALONE_AFTER_S / 3
        assert len({one.beat for _, one in told}) > 20


def refused(cluster: PlayedCluster, scenario: Scenario = EIGHT) -> str:
    with pytest.raises(UsageError) as caught:
        started(cluster, scenario)
    return str(caught.value)


def test_what_a_pod_finds_wrong_before_the_start_is_the_answer() -> None:
    async def play(pod: PlayedPod) -> None:
        if pod.index:
            pod.tell.refused(UnreachableError("no LiveKit answers there", field="--livekit-url", hint="Start it."))
            pod.end(2)
        else:
            await pod.play()

    cluster = PlayedCluster(play)
    assert "--livekit-url: no LiveKit answers there. Start it." in refused(cluster)
    assert all(pod.began_s is None for pod in cluster.pods_there.values())


def test_what_the_first_calls_of_a_pod_find_wrong_ends_the_run_unless_others_could_join() -> None:
    wrong = UnreachableError("no caller could join", field="--livekit-url", hint="Look.")

    async def alone(pod: PlayedPod) -> None:
        await pod.start()
        if pod.index:
            pod.tell.call(replace(FAILED, call_id="call-00001"))
            pod.tell.refused(wrong)
            pod.end(2)
        await asyncio.sleep(20.0)

    async def others_can(pod: PlayedPod) -> None:
        await (alone(pod) if pod.index else pod.play())

    assert "no caller could join" in refused(PlayedCluster(alone))

    async def after_a_call(pod: PlayedPod) -> None:
        if pod.index:
            await pod.start()
            await asyncio.sleep(3.0)
            pod.tell.refused(wrong)
            pod.end(2)
        else:
            await pod.play()

    result = started(PlayedCluster(after_a_call))
    assert result["missing"][0].startswith("pod 1: --livekit-url: no caller could join")


def test_an_image_that_is_not_there_and_a_node_that_takes_nobody() -> None:
    async def no_image(pod: PlayedPod) -> None:
        pod.state = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}

    async def not_scheduled(pod: PlayedPod) -> None:
        pod.state = {"waiting": {"reason": "ContainerCreating"}}

    assert "pod 0 of the load test cannot run: ImagePullBackOff: not found" in refused(PlayedCluster(no_image))
    said = refused(PlayedCluster(not_scheduled))
    assert "2 of 2 pods were not ready within 60 s (not started yet: ContainerCreating)" in said


def test_pods_that_are_never_made_are_told_with_the_reason_of_kubernetes() -> None:
    cluster = PlayedCluster(PlayedPod.play)

    async def none(_job: str) -> list[Manifest]:
        return []

    cluster.pods = none  # type: ignore[method-assign]
    assert "(it has no pod; exceeded quota)" in refused(cluster)


@pytest.mark.parametrize("what", ["create", "create ConfigMap", "list", "annotate", "read the log"])
def test_a_permission_that_lacks_is_one_message_and_leaves_nothing(what: str) -> None:
    cluster = PlayedCluster(PlayedPod.play)
    cluster.refuses[what] = FORBIDDEN
    assert f"cannot {what}. Ask." in refused(cluster)
    assert all(pod.began_s is None for pod in cluster.pods_there.values()) or what == "annotate"


@pytest.mark.parametrize("after_s", [0.5, 6.0, 9.5])
def test_whoever_is_interrupted_cleans_up(after_s: float) -> None:
    cluster = PlayedCluster(PlayedPod.play)
    with pytest.raises(TimeoutError):
        started(cluster, cancel_after_s=after_s)
    assert len(cluster.deleted) == 1


def test_what_cannot_be_removed_is_told_with_the_command_that_does() -> None:
    cluster = PlayedCluster(PlayedPod.play)
    cluster.refuses["delete"] = FORBIDDEN
    assert started(cluster)["verdict"] == "good"
    assert "kubectl -n voice delete job voicefleet-loadtest-" in cluster.said  # type: ignore[attr-defined]


def test_an_api_that_is_away_for_a_moment_is_asked_again_to_clean_up() -> None:
    cluster = PlayedCluster(PlayedPod.play)
    delete, failures = cluster.delete, [503, 0]

    async def unreliable(job: str) -> None:
        if failures:
            raise ApiError("cannot delete", failures.pop())
        await delete(job)

    cluster.delete = unreliable  # type: ignore[method-assign]
    assert started(cluster)["verdict"] == "good"
    assert (len(cluster.deleted), "kubectl" in cluster.said) == (1, False)  # type: ignore[attr-defined]


# --- what is asked for ---


def test_options_of_pods() -> None:
    assert on_kubernetes(False, {}) is None
    made = on_kubernetes(True, kubernetes_fields(5, "voice", None, None, "staging"))
    assert made == OnKubernetes(pods=5, namespace="voice", secret="staging")
    base = OnKubernetes(pods=7, context="prod")
    assert on_kubernetes(False, kubernetes_fields(None, "x", None, None, None), base) == OnKubernetes(
        pods=7, context="prod", namespace="x"
    )
    for fields, says in (
        (kubernetes_fields(0, None, None, None, None), "--pods = 0: must lie between 1 and 500"),
        (kubernetes_fields(None, "A b", None, None, None), "namespace = 'A b': is no name in Kubernetes"),
    ):
        with pytest.raises(ConfigError, match=says):
            on_kubernetes(True, fields)
    with pytest.raises(ConfigError, match="--job-template = 'x': is of a load test on Kubernetes"):
        on_kubernetes(False, kubernetes_fields(None, None, None, "x", None))


async def test_more_pods_than_calls_and_folders_that_pods_lack() -> None:
    scenario = LoadOptions(calls=3, kubernetes=OnKubernetes(pods=4)).scenario
    with pytest.raises(ConfigError, match=r"--pods = 4: there are more pods than calls \(3\)"):
        await run_on_pods(scenario, OnKubernetes(pods=4), engine="python", console=terminal(), title="x")
    relative = scenario.model_copy(update={"callers": Callers(recordings=Path("recordings"))})
    with pytest.raises(ConfigError, match=r"callers\.recordings"):
        await run_on_pods(relative, OnKubernetes(pods=2), engine="python", console=terminal(), title="x")


def test_a_namespace_that_is_not_there_is_told_from_a_release_that_is_not() -> None:
    api = JobApi(None, "nope")
    error = api.usage_error(ApiError('cannot create a ConfigMap: 404 namespaces "nope" not found', NOT_FOUND))
    assert str(error) == "--namespace = 'nope': no such namespace. Give the one of the chart's release."


@pytest.mark.parametrize(
    ("content", "context", "says"),
    [
        (None, None, r"there is no access to a cluster: there is no .*kubeconfig"),
        ("contexts: [{name: x, context: {cluster: x}}]\ncurrent-context: x", "y", "--context = 'y'.*contexts"),
        ("a: [", None, "there is no access to a cluster"),
    ],
)
async def test_without_a_cluster_there_is_one_message(
    content: str | None, context: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    with pytest.raises(UsageError, match=says):
        async with JobApi(context, None):
            pass
