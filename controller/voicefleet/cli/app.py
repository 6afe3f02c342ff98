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

from voicefleet.contract.errors import UsageError, VoicefleetError
from voicefleet.runtime.command.files import place_for_report, place_for_result

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
    from voicefleet.runtime.logs.setup import configure_logs
    from voicefleet.worker.server.settings import load_settings

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
    from voicefleet.worker.server.launch import launch

    launch(settings)


@app.command()
def controller(
    config: Annotated[Path, typer.Option(help="The controller's YAML file.")],
    ready_file: Annotated[Path | None, typer.Option(help="Write our address here once we listen.")] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Watch rooms, waiting calls and workers; dispatch what waits; scale every region's pool."""
    import uvloop

    from voicefleet.controller.app import run_controller
    from voicefleet.controller.settings.load import load_settings
    from voicefleet.runtime.logs.setup import configure_logs
    from voicefleet.runtime.settings import log_personal_data

    configure_logs(log_level, personal_data=log_personal_data())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_controller(load_settings(config), ready_file=ready_file))


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
    metrics: Annotated[
        str | None, typer.Option(help="HOST:PORT where Prometheus finds what callers hear, while the run lasts.")
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Place many calls with real speech, and judge what callers heard. The key is VOICEFLEET_CONTROLLER_KEY."""
    from voicefleet.loadtest.command_loadtest import LoadOptions
    from voicefleet.loadtest.command_loadtest import loadtest as run_it

    names = tuple(name.strip() for name in regions.split(",") if name.strip())
    options = LoadOptions(controller_url, calls, rate, turns, names, seed, patience, metrics)
    raise typer.Exit(run_it(options, json_path=json_path))


@app.command()
def chaos(
    only: Annotated[str, typer.Option(help="Scenarios to run, a,b; all when left out. See --list.")] = "",
    seeds: Annotated[int | None, typer.Option(help="Runs of each scenario; 5, or 1 with --quick.")] = None,
    first_seed: Annotated[int, typer.Option(help="The seeds count up from here.")] = 1,
    quick: Annotated[bool, typer.Option(help="The few fast scenarios, once each, with fewer calls.")] = False,
    logs: Annotated[Path | None, typer.Option(help="Keep every fleet's logs in this folder.")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the scenarios and run none.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Break a real fleet, one fault per scenario, and measure what each caller hears."""
    from voicefleet.chaos.command import chaos as run_it
    from voicefleet.chaos.command import list_scenarios
    from voicefleet.chaos.options import ChaosOptions

    if list_them:
        list_scenarios()
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
    """Calls and random faults for half an hour; then calls, turns and claims must add up and nothing may have grown."""
    from voicefleet.chaos.soak.command import soak as run_it
    from voicefleet.chaos.soak.plan import SoakOptions

    raise typer.Exit(run_it(SoakOptions(minutes, seed, quick, logs), json_path=json_path))


@app.command()
def status(
    controller_url: ControllerOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep the picture up to date until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between looks with --watch.")] = 1.0,
    json_path: JsonOption = None,
) -> None:
    """The fleet in the terminal: regions, workers, who waits, the last decisions. The key is VOICEFLEET_CONTROLLER_KEY.

    Ends with 1 when callers wait or sit in silence, or a region is not known.
    """
    from voicefleet.cli.status import StatusOptions
    from voicefleet.cli.status import status as run_it

    raise typer.Exit(run_it(StatusOptions(controller_url, watch, every), json_path=json_path))


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


@app.command(name="redis-acl")
def redis_acl(
    regions: Annotated[list[str], typer.Argument(help="Regions that are on this Redis.", metavar="REGION...")],
    controller_user: Annotated[str, typer.Option(help="The controller's user.")] = "voicefleet-controller",
) -> None:
    """Print, for redis-cli, what our Redis users may do: one user for the controller, and one a region for workers."""
    from voicefleet.cli.redis_acl import redis_acl as made

    print(made(regions, controller_user))


dashboards_app = typer.Typer(no_args_is_help=True, help="Grafana dashboards, Prometheus rules and runbooks.")
app.add_typer(dashboards_app, name="dashboards")


@dashboards_app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("dashboards"),
    chart: Annotated[Path | None, typer.Option(help="Write dashboards and rules to this folder instead.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name the files that differ.")] = False,
) -> None:
    """Write the dashboards, rules and runbooks as files."""
    from voicefleet.dashboards.command import generate as run_it

    raise typer.Exit(run_it(out, chart, check=check))


@dashboards_app.command()
def verify(
    prometheus: Annotated[str, typer.Option(help="Address of your Prometheus, http://HOST:PORT.")],
    rate_interval: Annotated[str, typer.Option(help="Window of rates: four of your scrapes at least.")] = "1m",
    json_path: JsonOption = None,
) -> None:
    """Run every query of every dashboard against your Prometheus, and say which come back empty."""
    from voicefleet.dashboards.command import verify_queries as run_it

    raise typer.Exit(run_it(prometheus, rate_interval=rate_interval, json_path=json_path))


keys_app = typer.Typer(no_args_is_help=True, help="API keys of the controller.")
app.add_typer(keys_app, name="keys")


@keys_app.command(name="hash")
def keys_hash(
    name: Annotated[str, typer.Argument(help="The key's name.")],
    roles: Annotated[str, typer.Option(help="call, read or operate; several joined by +.")],
    regions: Annotated[str, typer.Option(help="eu+us; all of them when left out.")] = "",
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the secret from stdin; else one is made.")] = False,
) -> None:
    """Print a line for `api_keys_file`. A secret that is made is shown once, on stderr."""
    from voicefleet.cli.keys import hash_key

    raise typer.Exit(hash_key(name, roles=roles, regions=regions, stdin=stdin))


SlotsOption = Annotated[int, typer.Option(help="Calls a worker serves at once.")]
StartP50Option = Annotated[float, typer.Option("--start-p50", help="Median start time of a worker, seconds.")]
StartSigmaOption = Annotated[float, typer.Option(help="Spread of start times: sigma of their lognormal law.")]
HandoffOption = Annotated[bool, typer.Option("--handoff/--no-handoff", help="Draining workers hand their calls over.")]


@app.command()
def simulate(
    trace: Annotated[
        Path | None, typer.Option(help="CSV arrival_s,duration_s (or arrival_s), or Prometheus JSON.")
    ] = None,
    traffic: Annotated[
        str | None, typer.Option(help="Made-up calls: stationary, diurnal, gamma, burst, batches, campaign, azure.")
    ] = None,
    prometheus: Annotated[str | None, typer.Option(help="Ask this Prometheus for the calls, with --query.")] = None,
    query: Annotated[str | None, typer.Option(help="Calls that began in a minute.")] = None,
    hours: Annotated[float, typer.Option(help="How far back to ask Prometheus.")] = 24.0,
    mean_live: Annotated[
        float | None, typer.Option(help="Stretch time until so many calls are live on average.")
    ] = None,
    calls: Annotated[int, typer.Option(help="Made-up calls.")] = 20_000,
    mean_duration: Annotated[
        float | None, typer.Option(help="Mean duration, seconds, where the trace has none.")
    ] = None,
    policies: Annotated[str, typer.Option(help="all, or names a,b.")] = "all",
    slots: SlotsOption = 10,
    start_p50: StartP50Option = 35.0,
    start_sigma: StartSigmaOption = 0.25,
    seed: Annotated[int, typer.Option(help="The same seed gives the same world.")] = 1,
    handoff: HandoffOption = True,
    packing: Annotated[bool, typer.Option(help="Dispatch to the fullest worker; LiveKit does not.")] = False,
    min_workers: Annotated[int, typer.Option(help="Never fewer.")] = 1,
    max_workers: Annotated[int, typer.Option(help="Never more.")] = 10_000,
    grace: Annotated[float, typer.Option(help="A worker told to end is killed after so many seconds.")] = 3600.0,
    fault: Annotated[list[str] | None, typer.Option(help="KIND@AT+FOR in seconds, e.g. stale@3600+120.")] = None,
    allowed: Annotated[float, typer.Option(help="Share of calls that may wait.")] = 0.001,
    sweep: Annotated[bool, typer.Option("--sweep", help="Try each peer at many buffers, and show its best.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write a page of HTML.", callback=place_for_report)] = None,
    json_path: JsonOption = None,
) -> None:
    """Play calls against our policy and others', in one simulated world, and compare waits and cost."""
    from voicefleet.cli.simulate import Source, faults_of, named_as_options
    from voicefleet.cli.simulate import simulate as run_it
    from voicefleet.simulator.world import World

    source = Source(trace, traffic, calls, mean_live, mean_duration, prometheus, query, hours, seed)
    with named_as_options():
        world = World(
            slots=slots,
            start_p50_s=start_p50,
            start_sigma=start_sigma,
            min_workers=min_workers,
            max_workers=max_workers,
            handoff=handoff,
            packing=packing,
            grace_s=grace,
            faults=faults_of(fault or []),
            seed=seed,
        )
    code = run_it(source, world, policies=policies, allowed=allowed, sweep=sweep, report=report, json_path=json_path)
    raise typer.Exit(code)


@app.command()
def plan(
    trace: Annotated[list[str], typer.Option(help="REGION=FILE; once for each region.")],
    share: Annotated[float, typer.Option(help="Share of calls that ...")] = 0.999,
    within: Annotated[float, typer.Option(help="... wait less than so many seconds.")] = 2.0,
    slots: SlotsOption = 10,
    start_p50: StartP50Option = 35.0,
    start_sigma: StartSigmaOption = 0.25,
    handoff: HandoffOption = True,
    price: Annotated[float, typer.Option(help="Of a worker-hour.")] = 0.0,
    workers_per_node: Annotated[int, typer.Option(help="Workers that one node holds.")] = 4,
    seed: Annotated[int, typer.Option(help="The same seed gives the same world.")] = 1,
    json_path: JsonOption = None,
) -> None:
    """From a trace and a promise: the least bounds, nodes and cost of each region."""
    from voicefleet.cli.simulate import named_as_options
    from voicefleet.cli.simulate import plan as run_it
    from voicefleet.simulator.provision import Promise
    from voicefleet.simulator.world import World

    with named_as_options():
        world = World(slots=slots, start_p50_s=start_p50, start_sigma=start_sigma, handoff=handoff, seed=seed)
        promise = Promise(share, within)
    code = run_it(trace, world, promise, price=price, workers_per_node=workers_per_node, seed=seed, json_path=json_path)
    raise typer.Exit(code)


@app.command()
def explain(
    pool: Annotated[str, typer.Argument(help="The region's name.")],
    controller_url: ControllerOption = None,
    limit: Annotated[int, typer.Option(help="How many decisions to show.")] = 10,
    json_path: JsonOption = None,
) -> None:
    """Say why a pool has the size it has: its last decisions, with their numbers."""
    from voicefleet.cli.explain import explain as run_it

    raise typer.Exit(run_it(pool, controller_url, limit=limit, json_path=json_path))


netlab_app = typer.Typer(no_args_is_help=True, help="An emulated network between hosts of its own (as root).")
app.add_typer(netlab_app, name="netlab")


@netlab_app.command(name="run")
def netlab_run(
    command: Annotated[list[str] | None, typer.Argument(help="COMMAND and its arguments, after --.")] = None,
    delay: Annotated[float, typer.Option(help="Milliseconds, one way.")] = 0.0,
    jitter: Annotated[float, typer.Option(help="Milliseconds that the delay varies by, up and down.")] = 0.0,
    loss: Annotated[float, typer.Option(help="Share of packets lost, 0 to 1.")] = 0.0,
    burst: Annotated[
        float | None, typer.Option(help="Mean packets that a bad spell lasts; each by itself if left out.")
    ] = None,
    bad_loss: Annotated[float, typer.Option(help="Share lost in a bad spell.")] = 1.0,
    reorder: Annotated[float, typer.Option(help="Share of packets that skip the delay.")] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Share of packets that arrive twice.")] = 0.0,
    rate: Annotated[float | None, typer.Option(help="Kilobits a second.")] = None,
    queue: Annotated[int, typer.Option(help="Packets the link holds at most.")] = 1000,
    peer: Annotated[str | None, typer.Option(help="Command for the host at the other end, as one word.")] = None,
    congestion: Annotated[str | None, typer.Option(help="TCP's congestion control, both ends: cubic, bbr, ...")] = None,
    backend: Annotated[str, typer.Option(help="netem (the kernel), tun (ours), or auto.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the chance, with backend tun.")] = 1,
    json_path: JsonOption = None,
) -> None:
    """Run COMMAND on a host of its own, whose only way out is a link with these conditions, both ways the same.

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


@app.command()
def transports(
    arms: Annotated[str, typer.Option(help="Arms to run, a,b; all when left out. See --list.")] = "",
    rtt: Annotated[str | None, typer.Option(help="Round trips in ms, a,b; 100.")] = None,
    loss: Annotated[
        str | None, typer.Option(help="Shares lost each way, a,b; 0,0.01,0.02,0.05, or 0,0.05 with --quick.")
    ] = None,
    jitter: Annotated[str | None, typer.Option(help="Milliseconds, tried besides; 10,30, or 30 with --quick.")] = None,
    rate: Annotated[
        str | None, typer.Option(help="Kilobits a second, tried besides; 48,80, or 80 with --quick.")
    ] = None,
    reorder: Annotated[str | None, typer.Option(help="Shares of packets that overtake, tried besides; 0.1.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each cell; 5, or 1 with --quick.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Of speech in each run; 20, or 6 with --quick.")] = None,
    quick: Annotated[bool, typer.Option(help="A few minutes, with wide intervals.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write a page of HTML.", callback=place_for_result)] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Save the picture of delay over time (.png).", callback=place_for_result)
    ] = None,
    backend: Annotated[str, typer.Option(help="Emulator: netem (the kernel), tun (ours), or auto.")] = "auto",
    logs: Annotated[Path | None, typer.Option(help="Keep every run's files in this folder.")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Say which arms there are, and run none.")] = False,
    json_path: JsonOption = None,
) -> None:
    """The same speech over HTTP, WebSocket, TCP, UDP and WebRTC, on emulated networks; what each ear got (as root)."""
    from voicefleet.transports.command import list_arms
    from voicefleet.transports.command import transports as run_it
    from voicefleet.transports.options import options_from

    if list_them:
        list_arms()
        return
    options = options_from(
        arms=arms,
        rtt=rtt,
        loss=loss,
        jitter=jitter,
        rate=rate,
        reorder=reorder,
        seeds=seeds,
        seconds=seconds,
        quick=quick,
        backend=backend,
        logs=logs,
    )
    raise typer.Exit(run_it(options, json_path=json_path, report=report, figure=figure))


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


_CALLER = "voicefleet.callers.caller"
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
