"""`voicefleet soak`: calls and random faults for half an hour, then the books.

A soak is made of rounds: callers, one fault of the chaos table, the callers' end, and the fleet whole and idle again.
Between rounds nothing is under way, so the books must close exactly and nothing may be more than it was before.

    options (plan) -> run -> gauges (what Redis and /proc say when idle) -> books (do they close?), growth (pure)
"""
