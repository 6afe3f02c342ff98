"""Make ready all that the cluster tests run: `python -m cluster` (the step `make cluster`).

Says nothing when all is there (`-v`: one line a part). With `--no-images`, only the programs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cluster.images import images
from cluster.install import install, say
from cluster.programs import GO_PROGRAMS, SYSTEM, find
from voicefleet.contract.errors import UsageError


def main(arguments: Sequence[str]) -> int:
    """Install and build what is missing; 2 when something is missing that cannot be made here."""
    try:
        install()
        made = [] if "--no-images" in arguments else images()
        if "-v" in arguments:
            for name in (*GO_PROGRAMS, *SYSTEM, "kubectl"):
                say(f"{name}: {find(name)}")
            for image in made:
                say(f"{image.name}: {image.archive.stat().st_size / 1e6:.0f} MB, {image.archive}")
    except UsageError as error:
        print(f"cluster: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
