"""A fleet in discrete events, in which the live controller's `scaling.step` and other systems' policies meet the same
calls.

world              what a worker is and what goes wrong: the same for every policy
cluster            workers and calls: starts, dispatch, drains, handoffs
engine             one policy in one world: events in order of time
voicefleet_policy  the `step` and `plan` of the live controller
baselines          other systems' policies, one file each, by name in `baselines.catalogue`
outcome            what a run gives: waits, kills, worker-hours
compare, advice    several policies on one trace, and which one to choose
provision          what a region needs to keep a promise
"""
