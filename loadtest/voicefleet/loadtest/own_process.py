"""Lets the callers of a command hang up in order, however the command ends, kill -9 included.

The command goes on in a fork, and who was started waits for it. When the waiting process is gone, the kernel closes its
end of a pipe, and the fork ends as by Ctrl-C. To fork is safe as long as there is one thread: so before LiveKit's
library, numpy and the like are imported, which is why nothing is imported here.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def hang_up_if_killed() -> None:
    """Go on in a process and a group of its own. Whoever calls it never knows the difference: signals, output
    and exit code pass through, SIGTERM hangs up as Ctrl-C does."""
    sys.stdout.flush()
    sys.stderr.flush()
    ending, held = os.pipe()
    # A signal in between waits until each of the two knows what to do with it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    child = os.fork()
    if child:
        os.close(ending)
        _wait_for(child)
    # A terminal sends Ctrl-C to a whole group, a CI runner to one process: it comes to the one that waits, and once.
    os.setpgid(0, 0)
    # Whoever is started in the background of a script ignores Ctrl-C, and this process is told of the end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    os.close(held)
    threading.Thread(target=_interrupt_when_closed, args=(ending,), daemon=True, name="command-guard").start()


def _wait_for(child: int) -> None:
    """End as the child does."""

    def interrupt(*_: object) -> None:
        os.kill(child, signal.SIGINT)

    for number in _SIGNALS:
        signal.signal(number, interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _interrupt_when_closed(ending: int) -> None:
    os.read(ending, 1)
    # To the main thread, or what it waits for is not interrupted.
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
