"""`voicefleet loadtest`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicefleet.contract.parsing.listed import listed
from voicefleet.loadtest.own_process import hang_up_if_killed
from voicefleet.runtime.command.options import ControllerOption, JsonOption

_HELP = """Place many calls with real speech, and judge what callers heard. The key is VOICEFLEET_CONTROLLER_KEY.

Exit codes: 0 it held; 1 it did not; 2 wrong input or surroundings; 3 void, the load generator itself was too late;
4 partial, pods were lost, and what was measured held.
"""
app = typer.Typer(help=_HELP)

LiveKitOption = Annotated[
    str | None,
    typer.Option(
        "--livekit-url",
        "--url",
        help="Call this LiveKit without a controller; LIVEKIT_API_KEY and _SECRET make the tokens.",
    ),
]
AgentNameOption = Annotated[
    str | None,
    typer.Option(help="Agent name in these tokens; voicefleet when left out, '' for agents without a name."),
]
TokenUrlOption = Annotated[
    str | None, typer.Option(help="Get tokens from this endpoint, of LiveKit's standard form, instead.")
]
TokenHeaderOption = Annotated[
    list[str] | None,
    typer.Option("--token-header", help="HEADER=VARIABLE: a header for it, from the environment; may be given again."),
]
RegionsOption = Annotated[str, typer.Option(help="Regions to call in turn, a,b; the platform chooses if empty.")]
TierOption = Annotated[str | None, typer.Option(help="Tier of every call; the platform's choice when left out.")]
AgentOption = Annotated[str | None, typer.Option(help="Agent of every call, of regions that have several.")]
MetricsOption = Annotated[
    str | None, typer.Option(help="HOST:PORT of the callers' metrics for Prometheus, during the run.")
]
FailIfOption = Annotated[
    list[str] | None,
    typer.Option("--fail-if", help="Condition that must not become true, such as ttfa_p95>1.0; may be given again."),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until-it-breaks", help="Find how many calls at once keep this true, such as ttfa_p95<1.0; not with --calls."
    ),
]
AtMostOption = Annotated[int, typer.Option(help="Of --until-it-breaks: the most calls at once to try.")]
StartOption = Annotated[int, typer.Option("--start", help="Of --until-it-breaks: the calls at once to begin with.")]
RestOption = Annotated[
    float,
    typer.Option("--rest", help="Of --until-it-breaks: seconds of rest in which the pool takes its slots back."),
]
AtLeastOption = Annotated[int, typer.Option(help="Of --until-it-breaks: fewer are a bad result, exit code 1.")]
EngineOption = Annotated[str, typer.Option(help="Who holds the calls: python, or go, hundreds of calls a core.")]
KubernetesOption = Annotated[
    bool, typer.Option("--kubernetes", help="Let pods place the calls, in the cluster of the kubeconfig.")
]
PodsOption = Annotated[int | None, typer.Option(help="Of --kubernetes: pods that share the calls; 2 when left out.")]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Of --kubernetes: the chart's namespace; the context's when left out."),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="Of --kubernetes: of the kubeconfig; its current one when left out.")
]
JobTemplateOption = Annotated[
    str | None,
    typer.Option(help="Of --kubernetes: the chart's ConfigMap with the Job; voicefleet-loadtest when left out."),
]
SecretOption = Annotated[
    str | None, typer.Option(help="Of --kubernetes: a Secret whose keys are the pods' environment, as LIVEKIT_API_KEY.")
]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="Directory for calls.csv and turns.csv.")]
JunitOption = Annotated[Path | None, typer.Option("--junit", help="Write the verdict to this file as JUnit XML.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write the result to this file as a page of HTML.")]


@app.callback(invoke_without_command=True)
def loadtest(
    context: typer.Context,
    controller_url: ControllerOption = None,
    livekit_url: LiveKitOption = None,
    agent_name: AgentNameOption = None,
    token_url: TokenUrlOption = None,
    token_header: TokenHeaderOption = None,
    calls: Annotated[int, typer.Option(help="Calls to place.")] = 20,
    rate: Annotated[float, typer.Option(help="Mean arrivals per second; a call never waits for earlier calls.")] = 0.5,
    turns: Annotated[int, typer.Option(help="Questions per call.")] = 3,
    regions: RegionsOption = "",
    tier: TierOption = None,
    agent: AgentOption = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same calls.")] = 1,
    patience: Annotated[float, typer.Option(help="Seconds a caller waits for a free slot, and in silence.")] = 60.0,
    metrics: MetricsOption = None,
    engine: EngineOption = "python",
    fail_if: FailIfOption = None,
    until: UntilOption = None,
    at_most: AtMostOption = 100,
    start: StartOption = 1,
    at_least: AtLeastOption = 1,
    rest: RestOption = 15.0,
    kubernetes: KubernetesOption = False,
    pods: PodsOption = None,
    namespace: NamespaceOption = None,
    cluster_context: ContextOption = None,
    job_template: JobTemplateOption = None,
    secret: SecretOption = None,
    csv: CsvOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    json_path: JsonOption = None,
) -> None:
    """Place many calls with real speech, and judge what callers heard."""
    if context.invoked_subcommand is not None:
        return
    hang_up_if_killed()
    from voicefleet.loadtest.command_loadtest import LoadOptions, search_capacity
    from voicefleet.loadtest.command_loadtest import loadtest as run_it
    from voicefleet.loadtest.command_search import SearchOptions
    from voicefleet.loadtest.destinations import Destinations
    from voicefleet.loadtest.options import kubernetes_fields, on_kubernetes, target_fields, target_of

    target = target_of(
        target_fields(controller_url, livekit_url, agent_name, token_url, token_header, listed(regions), tier, agent)
    )
    where = on_kubernetes(kubernetes, kubernetes_fields(pods, namespace, cluster_context, job_template, secret))
    options = LoadOptions(target, calls, rate, turns, seed, patience, metrics, tuple(fail_if or ()), engine, where)
    destinations = Destinations(json_path, csv, junit, html)
    if until is not None:
        wanted = SearchOptions(until, at_most, start, at_least, rest)
        code = search_capacity(options.scenario, wanted, metrics=metrics, engine=engine, destinations=destinations)
        raise typer.Exit(code)
    raise typer.Exit(run_it(options, destinations))


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="The scenario, a YAML file.")],
    controller_url: ControllerOption = None,
    livekit_url: LiveKitOption = None,
    agent_name: AgentNameOption = None,
    token_url: TokenUrlOption = None,
    token_header: TokenHeaderOption = None,
    regions: RegionsOption = "",
    tier: TierOption = None,
    agent: AgentOption = None,
    seed: Annotated[int | None, typer.Option(help="In place of the file's.")] = None,
    metrics: MetricsOption = None,
    engine: EngineOption = "python",
    fail_if: FailIfOption = None,
    until: UntilOption = None,
    at_most: AtMostOption = 100,
    start: StartOption = 1,
    at_least: AtLeastOption = 1,
    rest: RestOption = 15.0,
    kubernetes: KubernetesOption = False,
    pods: PodsOption = None,
    namespace: NamespaceOption = None,
    cluster_context: ContextOption = None,
    job_template: JobTemplateOption = None,
    secret: SecretOption = None,
    csv: CsvOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    json_path: JsonOption = None,
) -> None:
    """Run the scenario of a file; options take the place of what the file says, and --fail-if is added to it."""
    hang_up_if_killed()
    from voicefleet.loadtest.command_loadtest import run_file
    from voicefleet.loadtest.command_search import SearchOptions
    from voicefleet.loadtest.destinations import Destinations
    from voicefleet.loadtest.options import kubernetes_fields, target_fields

    code = run_file(
        file,
        target_fields(controller_url, livekit_url, agent_name, token_url, token_header, listed(regions), tier, agent),
        seed=seed,
        fail_if=tuple(fail_if or ()),
        metrics=metrics,
        engine=engine,
        destinations=Destinations(json_path, csv, junit, html),
        until=None if until is None else SearchOptions(until, at_most, start, at_least, rest),
        kubernetes=kubernetes,
        pods=kubernetes_fields(pods, namespace, cluster_context, job_template, secret),
    )
    raise typer.Exit(code)


@app.command(hidden=True)
def pod(
    plan: Annotated[Path, typer.Option(help="What all pods are to do.")],
    gate: Annotated[Path, typer.Option(help="What the starter tells this pod.")],
    index: Annotated[int, typer.Option(envvar="JOB_COMPLETION_INDEX", help="Of this pod's share.")],
    metrics: MetricsOption = None,
) -> None:
    """Play a share of a load test as a pod of --kubernetes; the log tells of it."""
    from voicefleet.loadtest.pods.pod import play_share

    raise typer.Exit(play_share(plan, gate, index, metrics))


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="A result, as --json wrote it.")],
    csv: CsvOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
) -> None:
    """Write a result that is there already in other forms."""
    from voicefleet.loadtest.destinations import Destinations
    from voicefleet.loadtest.stored import read_result

    destinations = Destinations(None, csv, junit, html)
    destinations.write(read_result(result), result.name)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A result, as --json wrote it.")],
    after: Annotated[Path, typer.Argument(help="Another: was it worse?")],
    allow: Annotated[float, typer.Option(help="Share by which figures may rise: 0.05 is 5 %.")] = 0.05,
    json_path: JsonOption = None,
) -> None:
    """Say whether the second of two results is worse, beyond chance: exit code 1; 3 or 4 if one is void or partial."""
    from voicefleet.loadtest.command_compare import compare_results

    raise typer.Exit(compare_results(before, after, allowed=allow, json_path=json_path))
