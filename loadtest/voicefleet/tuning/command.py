"""`voicefleet tune`: options in; a tiers file, chart values, a result, a page and an exit code out."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from rich.console import Console

from voicefleet.contract.errors import ConfigError
from voicefleet.reporting.result import INTERRUPTED, require_writable, write_json
from voicefleet.reporting.table import figures_table, shown
from voicefleet.runtime.clock import SystemClock
from voicefleet.scoring.replies import HeardReply, hear, whisper
from voicefleet.scoring.score import score
from voicefleet.stack.interrupt import finished
from voicefleet.stack.machine import machine
from voicefleet.tasks.load import TaskSet, read_tasks
from voicefleet.tuning.ablation import worth_of_options
from voicefleet.tuning.detectors import curve_rows
from voicefleet.tuning.options import TuneOptions
from voicefleet.tuning.report import render_report
from voicefleet.tuning.result import SweepResult, build_result
from voicefleet.tuning.samples import listen_to, of_settings
from voicefleet.tuning.schedule import in_order
from voicefleet.tuning.space import Space, candidates, installed, read_space, resolved, simulated_stages
from voicefleet.tuning.stand import running_stand
from voicefleet.tuning.sweep import HELDOUT, TUNING, Found, Stand, Sweep
from voicefleet.tuning.tiers_file import chart_values, tiers_yaml
from voicefleet.tuning.trial_log import TrialLog, open_log
from voicefleet.worker.server.settings import environment

LOG, TIERS, VALUES, PAGE = "trials.jsonl", "tiers.yaml", "values.yaml", "report.html"
_REPLIES = 20
"""Replies of each setting that are put before another recogniser: 0.2 s of a core each."""


def tune(options: TuneOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Run a sweep, or go on with the one whose log is in the folder.

    Returns:
        0 when a setting was chosen that keeps the rule's bounds, 1 when none does; 130 after Ctrl-C, and the same
        command goes on from there.

    Raises:
        UsageError: wrong space, tasks, rule or folder, or a part that is not there: before any call.
    """
    console = console or Console()
    # A call that ends while its agent still reports makes livekit's reader warn, with a traceback, into the progress.
    logging.getLogger("livekit").setLevel(logging.ERROR)
    space, left_out = installed(read_space(options.space), environment())
    tiers = resolved(space, environment())
    found = read_tasks(options.tasks)
    _require_parts(found, options.tasks)
    log = _log(options, space, found)
    clock, before_s = SystemClock(), log.spent_s
    began_s = clock.monotonic()

    def say(line: str) -> None:
        console.print(f"{clock.monotonic() - began_s:7.1f} s  {line}", markup=False, highlight=False, soft_wrap=True)

    def fleet(settings: Mapping[str, Mapping[str, Any]]) -> AbstractAsyncContextManager[Stand]:
        return running_stand(
            settings,
            found,
            agent=options.agent,
            at_once=options.at_once,
            seed=options.seed,
            out=options.out,
            clock=clock,
        )

    for sentence in left_out:
        say(sentence)
    if log.records:
        say(f"goes on with {log.path}: {len(log.records)} calls were played before, in {log.spent_s:.0f} s")
    if not log.curve:
        rows = curve_rows(options.budget_s, options.seed, say)
        log.add_curve(rows, before_s + clock.monotonic() - began_s)
    sweep = Sweep(
        candidates(space),
        _order(found, TUNING, options.seed),
        _order(found, HELDOUT, options.seed),
        rule=options.rule,
        at_once=options.at_once,
        seed=options.seed,
        budget_s=options.budget_s,
        before_s=before_s,
        fleet=fleet,
        score=lambda records: score(records).figures(),
        log=log,
        clock=clock,
        began_s=began_s,
        say=say,
    )
    done: list[Found] = []

    async def run() -> None:
        done.append(await sweep.run())

    asyncio.run(finished(run()))
    if not done:
        console.print(f"Interrupted; the same command goes on from {log.path}.", markup=False, soft_wrap=True)
        return INTERRUPTED
    say("the replies of the last settings are heard by another recogniser")
    result = build_result(
        done[0],
        log,
        options,
        found.name,
        simulated=simulated_stages(tiers),
        machine=machine(),
        heard=_heard(done[0], log),
        spent_s=sweep.spent_s,
    )
    _write(result, done[0], log, options, json_path)
    _show(result, options, console)
    return 0 if done[0].choice.within_bounds else 1


def _require_parts(found: TaskSet, where: str) -> None:
    for part in (TUNING, HELDOUT):
        if not found.part(part):
            raise ConfigError(
                f"has no task of the part {part}",
                field="--tasks",
                value=where,
                hint="Mark about a third of the tasks `part: heldout`: they are for the check alone.",
            )


def _order(found: TaskSet, part: str, seed: int) -> tuple[str, ...]:
    return in_order({task.id: task.goal for task in found.part(part)}, seed)


def _log(options: TuneOptions, space: Space, found: TaskSet) -> TrialLog:
    if options.out.absolute().parent.is_dir() and not options.out.exists():
        options.out.mkdir()
    require_writable(options.out / LOG, "--out")
    header = {
        "space": _digest(space.model_dump(mode="json")),
        "tasks": _digest(found.file.model_dump(mode="json")),
        "agent": options.agent,
        "rule": options.rule.text,
        "calls": options.at_once,
        "seed": options.seed,
    }
    return open_log(options.out / LOG, header, fresh=options.fresh)


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def _heard(found: Found, log: TrialLog) -> dict[str, Sequence[HeardReply]]:
    """Replies of the settings of the last round as Whisper hears them at the caller's ear."""
    recogniser = whisper()
    return {name: hear(log.of(name, TUNING), recogniser, most=_REPLIES) for name in found.finalists}


def _write(result: SweepResult, found: Found, log: TrialLog, options: TuneOptions, json_path: Path | None) -> None:
    text = tiers_yaml(result.chosen, result.others, result.by_name, result.evidence)
    (options.out / TIERS).write_text(text, encoding="utf-8")
    values = chart_values(text, slots=result.slots, price=options.price, evidence=result.evidence)
    (options.out / VALUES).write_text(values, encoding="utf-8")
    write_json(json_path, result.document)
    if options.report:
        names = [found.chosen.name, *(n for n in found.finalists if n != found.chosen.name)]
        samples = listen_to(of_settings(log.records, names))
        options_worth = worth_of_options(found.settings, log.rounds, log.records)
        (options.out / PAGE).write_text(render_report(result, options_worth, samples), encoding="utf-8")


def _show(result: SweepResult, options: TuneOptions, console: Console) -> None:
    table = figures_table(
        "Settings, the rule's best first; * on the front",
        "setting",
        ["success", "95 %", "cut ins", "TTFA p50", "TTFA p95", "CPU s/min", "calls played"],
    )
    for row in result.document["configs"]:
        low, high = row["success_ci"]
        table.add_row(
            f"{row['name']}{' *' if row['pareto'] else ''}",
            *(_share(row["success"]), f"{_share(low)}-{_share(high)}", _share(row["cut_in_ratio"])),
            *(shown(row[name]) for name in ("ttfa_p50_s", "ttfa_p95_s", "cpu_s_per_call_min")),
            str(row["counts"]["calls"]),
        )
    console.print(table)
    for sentence in result.evidence:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    written = [TIERS, VALUES, LOG, *([PAGE] if options.report else [])]
    console.print(f"written: {', '.join(str(options.out / name) for name in written)}", markup=False)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
