"""`voicefleet chaos`: a real fleet, real callers, one fault per row, measured at the caller's ear.

rows      the table: what each row breaks, on which fleet, and the bound that it must meet
faults    what breaks things, one module a family; each undoes itself, Ctrl-C included
scene     what a fault may touch, and what it tells
stage     one fleet, and the runs on it: callers in, fault, callers out, fleet whole again
crowd     the callers of one run
measure   pure: outcomes and the moment of the fault -> figures and verdict
report    the result as JSON and as a table
"""
