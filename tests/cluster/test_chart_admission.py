"""When the chart makes an admission policy, under which name, and for whom. What it refuses: tests/security."""

from __future__ import annotations

import pytest
from chart.matrix import MATRIX, PRODUCTION, TRIAL
from chart.render import Manifest, Objects, name_of, render

pytestmark = pytest.mark.cluster

KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def policies(objects: Objects) -> list[Manifest]:
    return [found for kind in KINDS for found in objects.of(kind)]


@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_every_release_with_a_pool_here_has_one_for_its_controllers_account(case: str) -> None:
    objects = render(MATRIX[case])
    [policy, binding] = policies(objects)
    [(_, account)] = {name_of(a) for a in objects.of("ServiceAccount") if a["metadata"]["name"].endswith("-controller")}
    assert name_of(policy) == name_of(binding) == ("", f"voice.{account}")
    assert policy["spec"]["matchConditions"] == [
        {
            "name": "the-controllers-account",
            "expression": f"request.userInfo.username == 'system:serviceaccount:voice:{account}'",
        }
    ]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": f"voice.{account}", "validationActions": ["Deny"]}


def test_names_differ_wherever_namespace_or_release_do() -> None:
    # A hyphen between the two would let these meet.
    names = {
        name_of(found)[1]
        for namespace, release in (("a", "b-voicefleet"), ("a-b", "voicefleet"), ("a", "voicefleet"))
        for found in render(TRIAL, release=release, namespace=namespace).of(KINDS[0])
    }
    assert names == {"a.b-voicefleet-controller", "a-b.voicefleet-controller", "a.voicefleet-controller"}


def test_there_is_none_where_it_is_not_wanted_or_not_known_or_would_have_no_pool() -> None:
    assert policies(render(PRODUCTION, kubernetes="1.30.0"))
    assert policies(render(PRODUCTION, kubernetes="1.30.4-gke.1"))
    assert policies(render(PRODUCTION, kubernetes="1.29.9")) == []
    assert policies(render({**PRODUCTION, "admissionPolicy": {"enabled": False}})) == []
    elsewhere = [{**region, "cluster": {"kubeconfigSecret": "x"}} for region in PRODUCTION["regions"]]
    assert policies(render({**PRODUCTION, "regions": elsewhere})) == []
