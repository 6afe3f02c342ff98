"""`voicefleet call`: one call, printed as it happens, and a verdict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome, quantiles
from voicefleet.callers.settings import livekit_keys
from voicefleet.callers.swarm import SwarmSettings, script
from voicefleet.callers.tickets import call_request, own_ticket
from voicefleet.callers.verdict import faults
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.contract.parsing.limits import require_between
from voicefleet.loadtest.event_printer import EventPrinter
from voicefleet.loadtest.heard import packets_line
from voicefleet.loadtest.scenario import MAX_TURNS
from voicefleet.reporting.result import exit_code, write_json
from voicefleet.reporting.table import print_problems, shown
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.command.asking import ask
from voicefleet.runtime.command.settings import controller_access
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.speech.clips import load_utterances


@dataclass(frozen=True, slots=True)
class CallOptions:
    """One call: through a controller, or with `livekit_url` straight to a LiveKit with a token of our own.

    Attributes:
        controller: ``http://HOST:PORT``; None: the environment's.
        livekit_url: ``ws://HOST:PORT``; None: through the controller.
        agent_name: whom our own token asks for.
        region, tier: None: the platform's choice.
        agent: of a region that has several; None: the platform's choice. Through a controller only.
        turns: questions to ask, 0 to 12.
        language: BCP 47 tag of the caller's language, for the agent and for what the platform itself says.
    """

    controller: str | None = None
    livekit_url: str | None = None
    agent_name: str = "voicefleet"
    region: str | None = None
    tier: str | None = None
    turns: int = 3
    language: str | None = None
    agent: str | None = None

    def __post_init__(self) -> None:
        require_between("turns", self.turns, 0, MAX_TURNS)
        if self.controller and self.livekit_url:
            raise ConfigError(
                "goes to LiveKit without a controller, so only one of the two can be given",
                field="--livekit-url",
                value=self.livekit_url,
                hint="Leave out --controller or --livekit-url.",
            )
        if self.agent and self.livekit_url:
            raise ConfigError(
                "is chosen by a controller, and this call goes to LiveKit without one",
                field="--agent",
                value=self.agent,
                hint="Give --agent-name, the name that its workers register with, or leave out --livekit-url.",
            )


def call(options: CallOptions, *, json_path: Path | None, console: Console | None = None) -> int:
    """Place the call and hold it to its end.

    Returns:
        0 when the caller was greeted, every question answered, and the call neither silent nor cut; else 1.

    Raises:
        UsageError: the call could not be placed.
    """
    console = console or Console(soft_wrap=True)
    outcome = asyncio.run(_hold(options, console))
    wrong = faults(outcome, options.turns)
    write_json(json_path, {**outcome.to_json(), "faults": wrong})
    if outcome.media is not None:
        console.print(packets_line(outcome.media), markup=False, highlight=False)
    if wrong:
        print_problems(console, [f"bad call: {'; '.join(wrong)}"])
    else:
        console.print(f"good call: {_figures(outcome)}", style="bold green", markup=False, highlight=False)
    return exit_code(passed=not wrong)


async def _hold(options: CallOptions, console: Console) -> CallOutcome:
    clock = SystemClock()

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    questions = script(0, SwarmSettings(turns=options.turns), load_utterances())
    began_s = clock.monotonic()
    ticket = await _ticket(options)
    where = f", region {ticket.region}" if ticket.region else ""
    say(f"ticket after {clock.monotonic() - began_s:.2f} s: room {ticket.room}{where}, {ticket.url}")
    outcome = await Caller("call", ticket, questions, on_event=EventPrinter(questions, say, clock), clock=clock).run()
    if options.livekit_url and outcome.connect_s is None:
        raise UnreachableError(
            outcome.error or "no connection",
            field="--livekit-url",
            value=options.livekit_url,
            hint="Start LiveKit there, or correct the address, LIVEKIT_API_KEY or LIVEKIT_API_SECRET.",
        )
    return outcome


async def _ticket(options: CallOptions) -> CallTicket:
    if options.livekit_url:
        return own_ticket(
            options.livekit_url,
            livekit_keys(),
            agent_name=options.agent_name,
            region=options.region,
            tier=options.tier,
            language=options.language,
        )
    access = controller_access(options.controller)
    request = call_request(options.region, options.tier, options.language, options.agent)
    async with ControllerClient(access.url, key=access.key) as client:
        return await ask(access.url, client.create_call(request))


def _figures(outcome: CallOutcome) -> str:
    heard = quantiles([turn.ttfa_s for turn in outcome.turns if turn.ttfa_s is not None])
    said = f"greeted after {shown(outcome.greeting_s, ' s')}"
    if outcome.turns:
        said += f", {len(outcome.turns)} of {len(outcome.turns)} questions answered"
        said += f", TTFA p50 {shown(heard['p50'], ' s')}, longest {shown(heard['max'], ' s')}"
    return said
