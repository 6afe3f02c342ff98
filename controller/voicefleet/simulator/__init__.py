"""The simulator: a fleet in discrete events; `scaling.step` and the policies of other systems meet the same calls.

world      what a worker is and what goes wrong: the same for every policy
cluster    workers and calls: starts, dispatch, drains, handoffs
engine     one policy in one world: events in order of time
voicefleet_policy  the very `step` and `plan` of the live controller
baselines  other systems' policies, one file each, by name in `BASELINES`
outcome    what a run gives: waits, kills, worker-hours
"""
