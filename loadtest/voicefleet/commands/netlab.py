"""`voicefleet netlab`: its commands and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from voicefleet.runtime.command.options import JsonOption

app = typer.Typer(no_args_is_help=True, help="Run commands on an emulated network (needs root).")


@app.command(name="run")
def netlab_run(
    command: Annotated[list[str] | None, typer.Argument(help="COMMAND and its arguments, after --.")] = None,
    delay: Annotated[float, typer.Option(help="Milliseconds, one way.")] = 0.0,
    jitter: Annotated[float, typer.Option(help="Milliseconds by which the delay varies, up and down.")] = 0.0,
    loss: Annotated[float, typer.Option(help="Share of packets lost, 0 to 1.")] = 0.0,
    burst: Annotated[
        float | None, typer.Option(help="Mean length of a loss burst in packets; independent losses when left out.")
    ] = None,
    bad_loss: Annotated[float, typer.Option(help="Share lost within a burst.")] = 1.0,
    reorder: Annotated[float, typer.Option(help="Share of packets that skip the delay.")] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Share of packets that arrive twice.")] = 0.0,
    rate: Annotated[float | None, typer.Option(help="Kilobits per second.")] = None,
    queue: Annotated[int, typer.Option(help="Longest queue of the link, in packets.")] = 1000,
    peer: Annotated[str | None, typer.Option(help="Command for the host at the other end, as one word.")] = None,
    congestion: Annotated[str | None, typer.Option(help="TCP's congestion control, both ends: cubic, bbr, ...")] = None,
    backend: Annotated[str, typer.Option(help="netem (the kernel), tun (ours), or auto.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the random losses, with backend tun.")] = 1,
    json_path: JsonOption = None,
) -> None:
    """Run COMMAND in a network namespace whose only link has these conditions, in both directions.

    The other end's address is {peer} in COMMAND, and NETLAB_PEER in its environment. Ends as COMMAND does.
    """
    from voicefleet.netlab.command import run as run_it
    from voicefleet.netlab.conditions import Conditions

    conditions = Conditions(delay, jitter, loss, burst, bad_loss, reorder, duplicate, rate, queue)
    code = run_it(
        command or [],
        conditions,
        peer=peer,
        backend=backend,
        congestion=congestion,
        seed=seed,
        json_path=json_path,
    )
    raise typer.Exit(code)
