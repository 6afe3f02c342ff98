"""The waiting message: a short spoken sentence for callers who wait for an agent. Off unless the settings ask for it.

No worker may have a free slot, or there may be none at all, so the controller speaks it; in a process of its own,
because a crash of the native LiveKit library must not take the controller with it.

    decide     PURE  which calls to speak to now
    messages   decides once a look, keeps the replicas apart, asks the announcer
    process    the announcer as the controller sees it: started, asked, started again
    protocol   PURE  the lines between the two
    announcer  the child process: joins rooms and speaks
    clip       the recording
"""
