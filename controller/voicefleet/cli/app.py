"""The `voicefleet` command: options in, exit codes out.

Exit codes: 0 done; 1 done, and the result is bad; 2 wrong input or surroundings (one message, no stack trace);
130 ended by Ctrl-C.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from voicefleet.cli.files import place_for_result
from voicefleet.contract.errors import UsageError, VoicefleetError

app = typer.Typer(
    name="voicefleet",
    help="Run fleets of LiveKit voice agents: autoscaled workers, no dropped calls, latency at the caller's ear.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", help="Write the result to this file as JSON.", callback=place_for_result),
]
ControllerOption = Annotated[
    str | None, typer.Option("--controller", help="http://HOST:PORT; else VOICEFLEET_CONTROLLER_URL.")
]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)


@app.command()
def worker(
    agent: Annotated[str | None, typer.Option(help="package.module:function that makes your agent.")] = None,
    tiers: Annotated[str | None, typer.Option(help="Tiers file, or a built-in: local, synthetic.")] = None,
    region: Annotated[str | None, typer.Option(help="Region this worker serves.")] = None,
    agent_name: Annotated[str | None, typer.Option(help="Name that dispatches ask for.")] = None,
    worker_id: Annotated[str | None, typer.Option("--id", help="This worker's name; made up when left out.")] = None,
    slots: Annotated[int | None, typer.Option(help="Calls at once.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT of the probes and metrics; port 0: a free one.")] = None,
    livekit_url: Annotated[str | None, typer.Option(help="LiveKit's address, ws:// or wss://.")] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
) -> None:
    """Serve calls with your agent. Secrets come from the environment: LIVEKIT_API_SECRET, VOICEFLEET_REDIS_URL."""
    from voicefleet.runtime.logs import configure_logs
    from voicefleet.worker.settings import load_settings

    settings = load_settings(
        {
            "agent": agent,
            "tiers": tiers,
            "region": region,
            "agent_name": agent_name,
            "worker_id": worker_id,
            "slots": slots,
            "listen": listen,
            "livekit_url": livekit_url,
            "log_level": log_level,
        }
    )
    configure_logs(
        settings.log_level,
        settings.log_format,  # type: ignore[arg-type]
        personal_data=settings.log_personal_data,
        worker=settings.worker_id,
        region=settings.region,
    )
    from voicefleet.worker.launch import launch

    launch(settings)


@app.command()
def controller(
    config: Annotated[Path, typer.Option(help="The controller's YAML file.")],
    ready_file: Annotated[Path | None, typer.Option(help="Write our address here once we listen.")] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Watch rooms, waiting calls and workers; dispatch what waits; scale every region's pool."""
    from voicefleet.controller.app import run_controller
    from voicefleet.controller.settings import load_settings
    from voicefleet.runtime.logs import configure_logs

    configure_logs(log_level)
    run(run_controller(load_settings(config), ready_file=ready_file))


@app.command()
def demo(
    calls: Annotated[int, typer.Option(help="Calls to place.")] = 12,
    rate: Annotated[float, typer.Option(help="Mean arrivals per second; the first seven 2.5 times as fast.")] = 0.3,
    turns: Annotated[int, typer.Option(help="Questions per call.")] = 2,
    slots: Annotated[int, typer.Option(help="Calls a worker serves at once.")] = 2,
    pipeline: Annotated[str | None, typer.Option(help="local or synthetic; local if this machine carries it.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same calls.")] = 1,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write demo-report.html.")] = True,
    keep: Annotated[bool, typer.Option(help="Leave the fleet up afterwards and print its addresses.")] = False,
    json_path: JsonOption = None,
) -> None:
    """A whole fleet on this machine: two regions, autoscaled workers, callers with real speech, and a verdict."""
    from voicefleet.demo.command import demo as run_it
    from voicefleet.demo.options import DemoOptions, as_pipeline

    options = DemoOptions(calls, rate, turns, slots, as_pipeline(pipeline), seed, report, keep)
    raise typer.Exit(run_it(options, json_path=json_path))


@app.command()
def call(
    controller_url: ControllerOption = None,
    livekit_url: Annotated[
        str | None,
        typer.Option(help="Go straight to this LiveKit, with a token of our own from LIVEKIT_API_KEY and _SECRET."),
    ] = None,
    agent_name: Annotated[str, typer.Option(help="Whom our own token asks for.")] = "voicefleet",
    region: Annotated[str | None, typer.Option(help="Where the call goes; any region when left out.")] = None,
    tier: Annotated[str | None, typer.Option(help="Tier of the pipeline; the worker's default when left out.")] = None,
    turns: Annotated[int, typer.Option(help="Questions to ask.")] = 3,
    json_path: JsonOption = None,
) -> None:
    """Place one call and say what the caller hears. The controller's key comes from VOICEFLEET_CONTROLLER_KEY."""
    from voicefleet.loadtest.command_call import CallOptions
    from voicefleet.loadtest.command_call import call as run_it

    options = CallOptions(controller_url, livekit_url, agent_name, region, tier, turns)
    raise typer.Exit(run_it(options, json_path=json_path))


@app.command()
def loadtest(
    controller_url: ControllerOption = None,
    calls: Annotated[int, typer.Option(help="Calls to place.")] = 20,
    rate: Annotated[float, typer.Option(help="Mean arrivals per second; they never wait for calls before them.")] = 0.5,
    turns: Annotated[int, typer.Option(help="Questions per call.")] = 3,
    regions: Annotated[str, typer.Option(help="Regions that take turns, a,b; the controller's choice if empty.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same calls.")] = 1,
    patience: Annotated[
        float, typer.Option(help="Seconds a caller waits: for a place in a full fleet, and in silence.")
    ] = 60.0,
    json_path: JsonOption = None,
) -> None:
    """Place many calls with real speech, and judge what callers heard. The key is VOICEFLEET_CONTROLLER_KEY."""
    from voicefleet.loadtest.command_load import LoadOptions
    from voicefleet.loadtest.command_load import loadtest as run_it

    names = tuple(name.strip() for name in regions.split(",") if name.strip())
    options = LoadOptions(controller_url, calls, rate, turns, names, seed, patience)
    raise typer.Exit(run_it(options, json_path=json_path))


@app.command()
def chaos(
    only: Annotated[str, typer.Option(help="Rows to run, a,b; all when left out. See --list.")] = "",
    seeds: Annotated[int | None, typer.Option(help="Runs of each row; 5, or 1 with --quick.")] = None,
    first_seed: Annotated[int, typer.Option(help="The seeds count up from here.")] = 1,
    quick: Annotated[bool, typer.Option(help="The few fast rows, once each, with fewer calls.")] = False,
    logs: Annotated[Path | None, typer.Option(help="Keep every fleet's logs in this folder.")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Say which rows there are, and run none.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Break a real fleet, one fault per row, and measure at the callers' ears what it cost them."""
    from voicefleet.chaos.command import chaos as run_it
    from voicefleet.chaos.command import list_rows
    from voicefleet.chaos.options import ChaosOptions

    if list_them:
        list_rows()
        return
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    options = ChaosOptions(names, seeds, first_seed, quick, logs)
    raise typer.Exit(run_it(options, json_path=json_path))


@app.command()
def soak(
    minutes: Annotated[float | None, typer.Option(help="How long; 30, or 1 with --quick.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the faults and the callers' questions.")] = 1,
    quick: Annotated[bool, typer.Option(help="A minute, with fewer calls.")] = False,
    logs: Annotated[Path | None, typer.Option(help="Keep the fleet's logs in this folder.")] = None,
    json_path: JsonOption = None,
) -> None:
    """Calls and random faults for half an hour; then calls, turns and claims must add up, and nothing have grown."""
    from voicefleet.chaos.soak.command import soak as run_it
    from voicefleet.chaos.soak.plan import SoakOptions

    raise typer.Exit(run_it(SoakOptions(minutes, seed, quick, logs), json_path=json_path))


@app.command()
def drain(
    worker: Annotated[str, typer.Argument(help="The worker's name, as GET /v1/regions shows it.")],
    controller_url: ControllerOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it has no call left.")] = True,
    timeout: Annotated[float, typer.Option(help="Longest wait, in seconds.")] = 120.0,
    json_path: JsonOption = None,
) -> None:
    """Have a worker hand its live calls to others and end. The controller's key is VOICEFLEET_CONTROLLER_KEY."""
    from voicefleet.cli.drain import DrainOptions
    from voicefleet.cli.drain import drain as run_it

    options = DrainOptions(worker, controller_url, wait, timeout)
    raise typer.Exit(run_it(options, json_path=json_path))


@app.command()
def doctor(json_path: JsonOption = None) -> None:
    """Check this machine and the servers that the environment names; a line per finding, with the way out."""
    from voicefleet.doctor.command import doctor as run_it

    raise typer.Exit(run_it(json_path=json_path))


def main() -> None:
    """Entry point of the `voicefleet` command."""
    code = exit_code()
    if _CALLER in sys.modules:
        # LiveKit's native library can panic (signal 6) while C++ tears it down after a connection that failed: what is
        # ours ends in order, then the process goes without that.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


_CALLER = "voicefleet.loadtest.caller"
"""Whoever imported it has had connections to LiveKit in this process."""


def exit_code() -> int:
    """Run the command that `sys.argv` asks for; the process is left as it is.

    Returns:
        What the process is to end with.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app()
    except VoicefleetError as error:
        errors.print(f"[bold red]voicefleet:[/] {_plain(error)}")
        return UsageError.exit_code
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _plain(error: VoicefleetError) -> str:
    from rich.markup import escape

    return escape(str(error))


if __name__ == "__main__":
    main()
