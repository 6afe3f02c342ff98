"""The faults, one module a family. A fault is `async def fault(context)`: it prepares, calls `context.mark_injection()`
just before the act, and returns when the fault is over or, for one that stays, when the callers may go on. What must
be undone is on `context.undo` before the act.
"""
