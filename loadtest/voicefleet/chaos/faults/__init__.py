"""What breaks things, one module a family. A fault is `async def fault(scene)`: it prepares, says `scene.strike()` just
before the deed, and returns when the fault is over or, for one that stays, when the callers may go on. What must be
undone is on `scene.undo` before the deed is done.
"""
