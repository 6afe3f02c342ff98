"""Bounds applied after a policy, each a pure function of its own.

In the order in which `step` applies them: schedule, unknown, leader, hold, overdue, rate, unschedulable, bounds; and
`replace`, which names workers that never got ready.
"""
