"""`voicefleet plan`: its options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.commands.simulate import HandoffOption, SlotsOption, StartP50Option, StartSigmaOption
from voicefleet.runtime.command.options import JsonOption


def plan(
    trace: Annotated[list[str], typer.Option(help="REGION=FILE; once per region.")],
    share: Annotated[float, typer.Option(help="Share of calls that wait less than --within.")] = 0.999,
    within: Annotated[float, typer.Option(help="Longest wait, in seconds, that keeps the promise.")] = 2.0,
    slots: SlotsOption = 10,
    start_p50: StartP50Option = 35.0,
    start_sigma: StartSigmaOption = 0.25,
    handoff: HandoffOption = True,
    price: Annotated[float, typer.Option(help="Price of a worker-hour.")] = 0.0,
    workers_per_node: Annotated[int, typer.Option(help="Workers per node.")] = 4,
    seed: Annotated[int, typer.Option(help="The same seed gives the same simulation.")] = 1,
    json_path: JsonOption = None,
) -> None:
    """Compute the smallest pool bounds, nodes and cost of each region that keep a promise for a trace."""
    from voicefleet.simulator.command import named_as_options
    from voicefleet.simulator.command import plan as run_it
    from voicefleet.simulator.provision import Promise
    from voicefleet.simulator.world import World

    with named_as_options():
        world = World(slots=slots, start_p50_s=start_p50, start_sigma=start_sigma, handoff=handoff, seed=seed)
        promise = Promise(share, within)
    code = run_it(trace, world, promise, price=price, workers_per_node=workers_per_node, seed=seed, json_path=json_path)
    raise typer.Exit(code)
