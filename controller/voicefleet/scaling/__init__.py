"""Pure scaling: observe -> decide -> plan, as values. No clocks, no clients, no I/O.

observation   a frozen snapshot of one pool
estimators    what is learned of a pool: arrivals, durations of calls, start times of workers
forecast      the calls there will be when a worker asked for now is ready, as a distribution
policy_state  what a policy learned and keeps between steps, and its dump for the next leader
policies      what a pool needs, one file each, listed in `POLICIES`
guardrails    bounds applied after a policy, in order
state         what one step leaves to the next
step          one decision from one observation: policy, then guardrails
plan          what to do about a decision: start, cordon, un-cordon, retire
"""

from voicefleet.scaling.decision import Decision, Reason
from voicefleet.scaling.observation import Campaign, PoolObservation, SupplyState, SureCalls, Worker
from voicefleet.scaling.plan import Actions, permitted, plan
from voicefleet.scaling.policy_state import PolicyState
from voicefleet.scaling.state import State, initial_state
from voicefleet.scaling.step import step

__all__ = [
    "Actions",
    "Campaign",
    "Decision",
    "PolicyState",
    "PoolObservation",
    "Reason",
    "State",
    "SupplyState",
    "SureCalls",
    "Worker",
    "initial_state",
    "permitted",
    "plan",
    "step",
]
