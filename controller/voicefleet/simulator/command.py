"""`voicefleet simulate` and `voicefleet plan`: options in, the simulator, tables and files out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from voicefleet.contract.errors import ConfigError, MissingPartError, UnreachableError
from voicefleet.reporting.result import write_json
from voicefleet.reporting.table import figures_table
from voicefleet.simulator.advice import advise, keeps
from voicefleet.simulator.compare import Comparison, compare, policies_of
from voicefleet.simulator.outcome import Outcome
from voicefleet.simulator.provision import Promise, Provision, provide
from voicefleet.simulator.world import Fault, FaultKind, World
from voicefleet.traffic.durations import CallLaw
from voicefleet.traffic.profiles import generate
from voicefleet.traffic.traces import Trace, parse_prometheus, read_trace


@dataclass(frozen=True, slots=True)
class Source:
    """Where the calls come from: a file, a generator, or Prometheus.

    Attributes:
        mean_live: calls in progress to aim at; None: a file's own, 120 for a generator.
        mean_duration_s: of the law of durations, for traces without them; None: the fitted law's own.
    """

    trace: Path | None = None
    traffic: str | None = None
    calls: int = 20_000
    mean_live: float | None = None
    mean_duration_s: float | None = None
    prometheus: str | None = None
    query: str | None = None
    hours: float = 24.0
    seed: int = 1

    def read(self) -> Trace:
        """The trace. Raises `UsageError`."""
        given = [name for name in ("trace", "traffic", "prometheus") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                "give one of --trace, --traffic and --prometheus",
                field="--trace",
                value=", ".join(given) or None,
                hint="Name a trace file, or a generator, e.g. --traffic diurnal.",
            )
        law = CallLaw() if self.mean_duration_s is None else CallLaw().scaled_to(self.mean_duration_s)
        if self.traffic is not None:
            return generate(self.traffic, mean_live=self.mean_live or 120.0, calls=self.calls, law=law, seed=self.seed)
        rng = np.random.default_rng([self.seed, 1])
        if self.trace is not None:
            trace = read_trace(self.trace, law=law, rng=rng)
        else:
            text = asyncio.run(_ask(self.prometheus or "", self.query, self.hours))
            trace = parse_prometheus(text, source=str(self.prometheus), law=law, rng=rng)
        return trace if self.mean_live is None else trace.stretched(self.mean_live)


async def _ask(url: str, query: str | None, hours: float) -> str:
    """The answer of a range query over the last `hours`, in steps of a minute."""
    if not query:
        raise ConfigError(
            "is missing",
            field="--query",
            hint="Give one for the calls that began in a minute: sum(increase(voicefleet_calls_total[1m])).",
        )
    import aiohttp

    from voicefleet.runtime.clock import SystemClock

    end_s = SystemClock().wall().timestamp()
    asked = {"query": query, "start": f"{end_s - hours * 3600:.0f}", "end": f"{end_s:.0f}", "step": "60"}
    try:
        timeout = aiohttp.ClientTimeout(total=60)
        address = f"{url.rstrip('/')}/api/v1/query_range"
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address, params=asked) as answer:
            text = await answer.text()
            if answer.status != 200:
                raise UnreachableError(
                    f"Prometheus answers {answer.status}: {text[:200]}",
                    field="--prometheus",
                    value=url,
                    hint="Correct the query.",
                )
            return text
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise UnreachableError(
            f"Prometheus does not answer ({error})", field="--prometheus", value=url, hint="Give its address."
        ) from error


_OPTIONS = {"start_p50_s": "--start-p50", "grace_s": "--grace", "workers_per_node": "--workers-per-node"}


@contextlib.contextmanager
def named_as_options() -> Iterator[None]:
    """Errors that name a field of ours name the option instead that it was given by."""
    try:
        yield
    except ConfigError as error:
        field = error.field if error.field.startswith("-") else f"--{error.field.replace('_', '-')}"
        raise ConfigError(
            error.what, field=_OPTIONS.get(error.field, field), value=error.value, hint=error.hint
        ) from error


def faults_of(texts: Sequence[str]) -> tuple[Fault, ...]:
    """Faults from ``KIND@AT+FOR`` or ``slow-starts@AT+FORxFACTOR``, in seconds."""
    return tuple(_fault(text) for text in texts)


def _fault(text: str) -> Fault:
    known = ", ".join(FaultKind)
    try:
        name, _, when = text.partition("@")
        kind = FaultKind(name)
        span, _, factor = when.partition("x")
        at, _, length = span.partition("+")
        fault = Fault(kind, float(at), float(length), float(factor) if factor else 4.0)
    except ValueError:
        fault = None
    if fault is None or not (fault.at_s >= 0 and fault.for_s > 0 and fault.factor > 0):
        raise ConfigError(
            "not a fault", field="--fault", value=text, hint=f"Give KIND@AT+FOR in seconds; kinds: {known}."
        )
    return fault


def simulate(
    source: Source,
    world: World,
    *,
    policies: str,
    allowed: float,
    sweep: bool,
    report: Path | None,
    json_path: Path | None,
    console: Console | None = None,
) -> int:
    """Play, print, write.

    Returns:
        0. A policy that does badly is a result, no failure.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    names = policies_of(policies)
    if not 0 < allowed < 1:
        raise ConfigError("not between 0 and 1", field="--allowed", value=allowed, hint="Give e.g. 0.001.")
    if report is not None:
        _need_pictures()
    trace = source.read()
    with console.status("") as status:
        result = compare(
            trace, world, names, allowed=allowed, sweep=sweep, say=lambda text: status.update(f"playing {text} ...")
        )
    if json_path is not None:
        from voicefleet.simulator.report import to_json

        write_json(json_path, to_json(result))
    if report is not None:
        from voicefleet.simulator.report import html

        report.write_text(html(result))
    console.print(_table(result), soft_wrap=False)
    for name, knob, (value, _) in _best_values(result):
        console.print(f"{name} at {value}: the best {knob.partition(',')[0]} that the sweep found.", markup=False)
    for line in advise(result):
        console.print(line, markup=False)
    return 0


def _need_pictures() -> None:
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPartError(
            f"needs {error.name}", field="--report", hint="Install voicefleet[lab], or leave the report out."
        ) from error


def _table(result: Comparison) -> Table:
    trace = result.trace
    title = f"{trace.name}: {len(trace)} calls, {trace.mean_live:.1f} live on average"
    table = figures_table(title, "policy", ("waited", "wait p99", "lost", "killed", "worker hours", "cost", "changes"))
    table.caption = "Cost: times the least possible. Changes: of the number of workers. Dim: more wait than promised."
    table.caption_justify = "left"
    rows = [(o.policy, o) for o in result.outcomes]
    rows += [(f"{name} at {best[0]}", best[1]) for name, _, best in _best_values(result)]
    for name, o in rows:
        table.add_row(
            name,
            f"{o.wait_ratio:.3%}",
            f"{o.wait_p99_s:.1f} s",
            str(o.lost),
            str(o.killed),
            f"{o.worker_hours:.1f}",
            f"{o.cost_ratio:.3f}",
            str(o.scale_actions),
            style=None if keeps(o, result.allowed) else "dim",
        )
    return table


def _best_values(result: Comparison) -> list[tuple[str, str, tuple[int, Outcome]]]:
    """Of each swept policy for which a value keeps the promise: its name, its knob, and the cheapest value."""
    found = ((s.policy, s.knob, s.best(result.allowed)) for s in result.swept)
    return [(name, knob, best) for name, knob, best in found if best is not None]


def plan(
    traces: Sequence[str],
    world: World,
    promise: Promise,
    *,
    price: float,
    workers_per_node: int,
    seed: int,
    json_path: Path | None,
    console: Console | None = None,
) -> int:
    """Work out what each region needs.

    Args:
        traces: ``REGION=FILE``, or ``FILE`` alone.

    Returns:
        0; 1 when a region's promise cannot be kept.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    found: list[Provision] = []
    for text in traces:
        region, given, name = text.rpartition("=")
        path = Path(name if given else text)
        trace = Source(trace=path, seed=seed).read()
        with console.status(f"planning {region or path.stem} ..."):
            found.append(
                provide(region or path.stem, trace, world, promise, price=price, workers_per_node=workers_per_node)
            )
    write_json(json_path, {"regions": [asdict(p) for p in found]})
    console.print(f"{promise.share:.3%} of the calls wait less than {promise.within_s:g} s, none is cut.", markup=False)
    for p in found:
        for line in _needs(p, promise, price):
            console.print(line, markup=False)
    return 0 if all(p.kept for p in found) else 1


def _needs(p: Provision, promise: Promise, price: float) -> list[str]:
    """What one region needs, in words."""
    nodes = f"{p.nodes} node" + ("" if p.nodes == 1 else "s")
    said = [
        f"{p.region}: min_workers {p.min_workers}, max_workers {p.max_workers}, policy predictive; {nodes} at the peak",
        f"  {p.wait_ratio:.3%} of the calls wait {promise.within_s:g} s or longer; {p.worker_hours:.1f} worker-hours"
        " for the trace" + (f": {p.cost:.2f}, at the same rate {p.cost_month:.2f} a month" if price else ""),
    ]
    if p.buffer is not None:
        said.append(f"  the policy buffer would need buffer {p.buffer}")
    if not p.kept:
        said.append("  THE PROMISE IS NOT KEPT: start workers faster, announce campaigns, or promise less")
    return said
