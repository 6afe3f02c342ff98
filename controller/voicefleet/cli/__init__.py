"""The `voicefleet` command: it finds the commands of the installed components and runs one of them.

Each module in a component's `voicefleet/commands` is a command: the function of the module's own name, or `app`, a
group of commands. These modules hold options and help; they import what does the work when they are called, since
`import livekit.agents` alone takes 3 s.
"""

from __future__ import annotations

import os
import signal

if os.getpid() == 1:
    # The first process of a container does not get a SIGTERM that it has no handler for. Imports take seconds, and a
    # pod that was deleted meanwhile would go on as if nothing had been said, until Kubernetes kills it and its calls.
    # Here, since this runs before all other imports; whoever has something to end in good order replaces it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
