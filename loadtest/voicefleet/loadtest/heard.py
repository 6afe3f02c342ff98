"""What a terminal shows of a result beside its waits: how packets went, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from voicefleet.callers.media import MediaStats
from voicefleet.callers.stages import PARTS
from voicefleet.loadtest.figures import MEDIA, media_shown
from voicefleet.loadtest.stage_times import stages_sentence
from voicefleet.reporting.table import figures_table, shown


def show_media(result: Mapping[str, Any], console: Console) -> None:
    """How the calls' packets went, where that is known."""
    media, figures = result["media"], result["figures"]
    if not media["calls"]:
        return
    table = figures_table("At the callers' ears", "", ("p50", "p95"))
    for name, what in MEDIA.items():
        high = "p5" if name == "mos" else "p95"
        table.add_row(what, *(media_shown(name, figures[f"{name}_{one}"]) for one in ("p50", high)))
    console.print(table)
    console.print(media_line(media), markup=False, highlight=False, soft_wrap=True)


def media_line(media: Mapping[str, Any]) -> str:
    """Codec and path of the calls, in one line."""
    kinds = [", ".join(f"{count} {name}" for name, count in media[key].items()) for key in ("codecs", "paths")]
    return f"calls by codec: {kinds[0] or 'unknown'}; by path (caller/LiveKit): {kinds[1] or 'unknown'}"


def packets_line(media: MediaStats) -> str:
    """How one call's packets went, in one line."""
    told = {"rtt": media.rtt_s, "jitter": media.jitter_s, "loss": media.loss_ratio, "mos": media.mos}
    words = {name: media_shown(name, value) for name, value in told.items()}
    return (
        f"packets: {media.path or 'path unknown'} {media.candidates}, {media.codec or 'codec unknown'}; round trip "
        f"{words['rtt']}, jitter {words['jitter']}, loss {words['loss']}; estimated MOS {words['mos']}"
    )


def show_stages(result: Mapping[str, Any], console: Console) -> None:
    """Where the time went; in words, where it is not known."""
    stages = result["stages"]
    if stages is None:
        return
    if stages["parts"]:
        console.print(_stages_table(stages))
    if said := stages_sentence(stages):
        console.print(said, markup=False, highlight=False, soft_wrap=True)


def _stages_table(stages: Mapping[str, Any]) -> Table:
    title = f"Where the time went, of {stages['joined']} answers"
    table = figures_table(title, "", ("p50", "p95", "mean", "share"))
    for part, what in PARTS.items():
        one = stages["parts"][part]
        seconds = (shown(one[name], " s") for name in ("p50", "p95", "mean"))
        table.add_row(what, *seconds, "–" if one["share"] is None else f"{one['share']:.0%}")
    return table
