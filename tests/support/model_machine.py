"""How the state machines of the models are explored: always the same examples, of so many steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def explore(machine: Callable[[], RuleBasedStateMachine], examples: int, *, shrink: bool = True) -> None:
    """Play `examples` on new machines; raises what the first broken invariant raises.

    Args:
        shrink: make the example that breaks one as short as can be; not worth its time where one must break.
    """
    factory: Any = machine  # its type says class, its documentation says factory
    run_state_machine_as_test(
        factory,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
