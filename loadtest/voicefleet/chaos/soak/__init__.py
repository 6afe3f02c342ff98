"""`voicefleet soak`: calls and random faults for half an hour, then checks that nothing was lost and nothing grew.

A soak is made of rounds: callers, one fault of the chaos table, the callers' end, and the fleet ready and idle again.
Between rounds nothing is under way, so the counts must add up exactly and nothing may be more than it was before.

    options (plan) -> run -> gauges (what Redis and /proc show when idle) -> invariants, growth (pure)
"""
