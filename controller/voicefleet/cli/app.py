"""The root of the `voicefleet` command: lists the commands that are installed, runs one, and sets the exit code.

Exit codes: 0 done; 1 done, and the result is bad; 2 wrong input or surroundings (one message, no stack trace);
130 ended by Ctrl-C.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from voicefleet.contract.errors import UsageError, VoicefleetError
from voicefleet.runtime.command.discovery import installed_modules, load

_PACKAGE = "commands"
_HELP = "Run fleets of LiveKit voice agents: autoscaled workers, no dropped calls, latency at the caller's ear."
_WHOLE_SENTENCE = 1_000
_CALLER = "voicefleet.callers.caller"
"""A process that imported this module has had connections to LiveKit."""


class Root(TyperGroup):
    """The installed commands; a command's module is imported when it is run, or listed."""

    def __init__(self) -> None:
        # Names without commands, so that a misspelt name is answered with one like it and nothing is imported.
        names: dict[str, Any] = {name.replace("_", "-"): None for name in installed_modules(_PACKAGE)}
        super().__init__(
            name="voicefleet",
            help=_HELP,
            commands=names,
            no_args_is_help=True,
        )

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, built from its module; None when no installed component has it."""
        if cmd_name not in self.commands:
            return None
        name = cmd_name.replace("-", "_")
        module = load(_PACKAGE, name)
        if isinstance(app := getattr(module, "app", None), typer.Typer):
            command: Any = get_group(app)
            command.name = cmd_name
            return command
        alone = typer.Typer(add_completion=False)
        alone.command(name=cmd_name)(getattr(module, name))
        return get_command(alone)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Plain text: `rich` alone would double the time that the list of commands takes."""
        super(TyperGroup, self).format_help(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command with the first sentence of its help, whole."""
        rows = [(name, self.get_command(ctx, name).get_short_help_str(_WHOLE_SENTENCE)) for name in self.commands]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def main() -> None:
    """Entry point of the `voicefleet` command."""
    code = exit_code()
    if _CALLER in sys.modules:
        # LiveKit's native library can panic (signal 6) while C++ tears it down after a connection that failed: what is
        # ours ends in order, then the process goes without that.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def exit_code() -> int:
    """Run the command that `sys.argv` names; the process is left as it is.

    Returns:
        The exit code for this process.
    """
    try:
        Root()()
    except VoicefleetError as error:
        _print_error(error)
        return UsageError.exit_code
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _print_error(error: VoicefleetError) -> None:
    from rich.console import Console
    from rich.markup import escape

    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    errors.print(f"[bold red]voicefleet:[/] {escape(str(error))}")


if __name__ == "__main__":
    main()
