"""What the chart's README tells people to write is taken by the chart, and by LiveKit."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from chart.matrix import PRODUCTION
from chart.render import environment_of, render
from chart.values_table import CHART
from google.protobuf import json_format
from livekit.protocol import sip

from voicefleet.contract.calls import DispatchMetadata

pytestmark = pytest.mark.cluster

README = (CHART / "README.md").read_text()


def block(after: str, begin: str) -> str:
    """The indented block of a section that begins with these words."""
    section = README.partition(f"\n## {after}\n")[2].partition("\n## ")[0]
    match = re.search(rf"^    {re.escape(begin)}.*\n(?:(?:    .*)?\n)*", section, re.MULTILINE)
    assert match, f"no block in {after!r} begins with {begin!r}"
    return "\n".join(line[4:] for line in match[0].splitlines()).split("\n\n")[0]


def test_the_values_for_production() -> None:
    given = yaml.safe_load(block("Production", "# values.yaml"))
    objects = render(given)
    assert {d["metadata"]["name"] for d in objects.of("Deployment")} == {
        *("voicefleet-controller", "voicefleet-eu", "voicefleet-us")
    }


def test_the_values_for_an_agent_of_ones_own() -> None:
    given: dict[str, Any] = yaml.safe_load(block("Your own agent", "worker:"))
    objects = render({**PRODUCTION, **given})
    [container] = objects.one("Deployment", "voicefleet-eu", "voice-eu")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/team/my-agent:7"
    assert environment_of(container)["VOICEFLEET_AGENT"] == "my_pkg.my_agent:create"


def test_the_values_for_several_agents() -> None:
    [given] = yaml.safe_load(block("Several agents", "regions:"))["regions"]
    objects = render({**PRODUCTION, "regions": [{**PRODUCTION["regions"][0], **given}]})
    assert {d["metadata"]["name"] for d in objects.of("Deployment")} == {
        *("voicefleet-controller", "voicefleet-eu-support", "voicefleet-eu-sales-v1", "voicefleet-eu-sales-v2")
    }


def test_the_sip_dispatch_rule_names_the_agent() -> None:
    text = block("Telephony", "{")
    rule = json_format.Parse(text, sip.CreateSIPDispatchRuleRequest())
    [agent] = rule.dispatch_rule.room_config.agents
    assert agent.agent_name == "voicefleet"
    assert DispatchMetadata.decode(agent.metadata).order.tier == "fast"
    assert json.loads(text)["dispatch_rule"]["rule"]["dispatchRuleIndividual"] == {"roomPrefix": "call-"}
