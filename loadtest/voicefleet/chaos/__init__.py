"""`voicefleet chaos`: one fault per scenario on a real fleet with simulated callers, judged by what each caller hears.

scenarios      the table: what each scenario breaks, on which fleet, and the bound that it must meet
faults         the faults, one module a family; each undoes itself, also on Ctrl-C
fault_context  what a fault uses and reports
fleet_harness  one fleet, and the runs on it: callers join, fault, callers leave, fleet restored
caller_pool    the callers of one run
measure        pure: outcomes and the moment of the fault -> figures and verdict
report         the result as JSON and as a table
"""
