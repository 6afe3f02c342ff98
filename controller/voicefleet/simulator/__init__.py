"""The simulator: a fleet in discrete events, in which our `scaling.step` and others' policies meet the same calls.

world      what a worker is and what goes wrong: the same for every policy
cluster    workers and calls: starts, dispatch, drains, handoffs
engine     one policy in one world: events in order of time
ours       the very `step` and `plan` of the live controller
baselines  other systems' policies, one file each, by name in `PEERS`
outcome    what a run gives: waits, kills, worker-hours
"""
