"""Options that change a scenario. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.limits import require_between
from voicefleet.contract.parsing.validation import validated
from voicefleet.loadtest.scenario import MAX_PODS, OnKubernetes, Scenario, Target
from voicefleet.loadtest.thresholds import parse_condition

_ADDRESSES = ("controller", "livekit_url", "token_url")


def target_fields(
    controller: str | None,
    livekit_url: str | None,
    agent_name: str | None,
    token_url: str | None,
    token_header: Sequence[str] | None,
    regions: tuple[str, ...],
    tier: str | None,
    agent: str | None,
) -> dict[str, Any]:
    """The fields of a target that options give; those that are None or empty are left out, but for an agent's name.

    Raises:
        ConfigError: a header that is not HEADER=VARIABLE.
    """
    fields = {
        "controller": controller,
        "livekit_url": livekit_url,
        "agent_name": agent_name,
        "token_url": token_url,
        "token_headers": _headers(token_header or ()),
        "regions": regions,
        "tier": tier,
        "agent": agent,
    }
    return {name: value for name, value in fields.items() if value or (name == "agent_name" and value is not None)}


def target_of(fields: Mapping[str, Any]) -> Target:
    """The target of these fields.

    Raises:
        ConfigError: they do not go together.
    """
    return validated(Target, fields, source="the command line")


def kubernetes_fields(
    pods: int | None, namespace: str | None, context: str | None, job_template: str | None, secret: str | None
) -> dict[str, Any]:
    """The fields of `OnKubernetes` that options give."""
    fields = {
        "pods": pods,
        "namespace": namespace,
        "context": context,
        "job_template": job_template,
        "secret": secret,
    }
    return {name: value for name, value in fields.items() if value is not None}


def on_kubernetes(wanted: bool, fields: Mapping[str, Any], base: OnKubernetes | None = None) -> OnKubernetes | None:
    """Where the pods run that options ask for; None: there are none.

    Args:
        wanted: ``--kubernetes`` was given.
        base: what a file says.

    Raises:
        ConfigError: a field that is wrong, or one without ``--kubernetes``.
    """
    if not wanted and base is None:
        for name, value in fields.items():
            raise ConfigError(
                "is of a load test on Kubernetes",
                field=f"--{name.replace('_', '-')}",
                value=value,
                hint="Add --kubernetes, or leave it out.",
            )
        return None
    if "pods" in fields:
        require_between("pods", fields["pods"], 1, MAX_PODS)
    kept = {} if base is None else base.model_dump()
    return validated(OnKubernetes, {**kept, **fields}, source="the command line")


def changed(
    scenario: Scenario,
    fields: Mapping[str, Any],
    *,
    seed: int | None,
    fail_if: tuple[str, ...],
    source: str,
    kubernetes: OnKubernetes | None = None,
) -> Scenario:
    """A file's scenario with what options say.

    Args:
        fields: of the target; an address takes the place of the file's, whatever its kind.
        seed: None: the file's.
        fail_if: added to the file's.
        kubernetes: in place of the file's; None: the file's.

    Raises:
        ConfigError: the result is no scenario.
    """
    target = scenario.target
    if fields:
        kept = target.model_dump(exclude_defaults=True)
        if fields.keys() & set(_ADDRESSES):
            kept = {name: value for name, value in kept.items() if name not in (*_ADDRESSES, "token_headers")}
        target = target_of({**kept, **fields})
    return validated(
        Scenario,
        {
            **dict(scenario),
            "target": target,
            "seed": scenario.seed if seed is None else seed,
            "fail_if": (*scenario.fail_if, *fail_if),
            "kubernetes": kubernetes or scenario.kubernetes,
        },
        source=source,
    )


def require_conditions(texts: Sequence[str]) -> None:
    """Refuse a ``--fail-if`` that is none."""
    for text in texts:
        parse_condition(text, field="--fail-if")


def _headers(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        header, equals, variable = (part.strip() for part in text.partition("="))
        if not header or not equals or not variable.isidentifier():
            # What follows may be a secret that somebody wrote out: it is not shown.
            raise ConfigError(
                "not HEADER=VARIABLE",
                field="--token-header",
                value=header,
                hint="Name the environment variable that holds the value: Authorization=STAGING_TOKEN.",
            )
        found[header] = variable
    return found
