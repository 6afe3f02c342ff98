"""What metrics and traces cost: the same worker with both on, and with neither, in turn."""

from __future__ import annotations

from bench.answers import Size, interleave
from bench.row import Row, judged
from bench.stand import Arm, Stand
from bench.statistics import ratio_of_sums

from support.otlp_receiver import otlp_receiver


async def telemetry(on: Stand, size: Size, command: str) -> list[Row]:
    """Answers, and CPU time, of a worker that tells everything, by those of one that tells nothing."""
    async with otlp_receiver() as receiver:
        on.otlp_url = receiver.url
        run = await interleave("telemetry", on, Arm.TOLD, Arm.QUIET, size)
        spans = len(receiver.spans)
    if not spans:
        run.health.complaints.append("no span arrived: nothing was told")
    note = "metrics of every turn and of the line, and spans to a real OTLP receiver, against neither"
    ttfa = run.row("telemetry_ttfa", Arm.TOLD, Arm.QUIET, 1.01, command, note)
    values = {
        "told_cpu_s": round(sum(s for block in run.cpu_s for s in block.ours), 2),
        "quiet_cpu_s": round(sum(s for block in run.cpu_s for s in block.theirs), 2),
        "spans": spans,
    }
    note = "CPU time of the whole worker, job processes included, for the same calls"
    ratio = ratio_of_sums(run.cpu_s)
    return [ttfa, judged("telemetry_cpu", size.total_turns, values, ratio, 1.03, run.health, command, note)]
