"""One step: observation in, decision out. The state between steps is a value too."""

from __future__ import annotations

from dataclasses import replace

from voicefleet.scaling.decision import Decision
from voicefleet.scaling.guardrails import LIMIT, RAISE, Context, Proposal
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policies import POLICIES
from voicefleet.scaling.state import State


def step(state: State, observation: PoolObservation) -> tuple[State, Decision]:
    """Decide for one pool at ``observation.now_s``.

    Invariants: the decision is within the pool's bounds; with anything unknown it is never below what serves calls
    now (within the bounds), never below what the same sure calls would get with everything known, and `may_shrink` is
    False; with everything known it is never below what the calls there are need (within the bounds), but for machines
    that are not there.
    """
    policy = POLICIES[observation.spec.policy]
    learned, need = policy.need(state.learned, observation)
    context = Context(observation, policy, need.workers, state.last)
    asked = need.workers or 0
    proposal = Proposal(asked, policy.reason, replace(state, learned=learned), sure=asked)
    for guardrail in RAISE:
        proposal = guardrail(proposal, context)
    proposal = replace(proposal, wanted=proposal.workers)
    for guardrail in LIMIT:
        proposal = guardrail(proposal, context)
    decision = Decision(
        desired=proposal.workers,
        reason=proposal.reason,
        said=need.detail,
        inputs=replace(
            need.inputs,
            need=need.workers,
            recent_peak=proposal.recent_peak,
            supply=observation.supply,
            wanted=proposal.wanted,
        ),
        may_shrink=proposal.may_shrink,
        starts=proposal.starts,
        replace=proposal.replace,
        notes=(proposal.said, *proposal.notes) if proposal.said else proposal.notes,
    )
    return replace(proposal.state, last=proposal.workers), decision
