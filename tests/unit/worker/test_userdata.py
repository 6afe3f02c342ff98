"""What changed in a session's userdata goes with the call; what is no JSON stays as the next entrypoint made it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from voicefleet.worker.conversation.userdata import UserdataChanges

pytestmark = pytest.mark.unit


@dataclass
class Order:
    job: str
    name: str = ""
    dishes: list[str] = field(default_factory=list)
    client: Any = field(default_factory=object)


class Form(BaseModel):
    job: str
    name: str = ""
    dishes: list[str] = []


class Plain:
    def __init__(self, job: str) -> None:
        self.job, self.name, self.dishes, self._secret = job, "", list[str](), "s"


class Job:
    def __init__(self, userdata: Any) -> None:
        self.userdata = userdata
        self.refused = 0
        self.changes = UserdataChanges(lambda: self.userdata, self._refuse)

    def _refuse(self) -> None:
        self.refused += 1


@pytest.mark.parametrize("kind", [Order, Form, Plain])
def test_fields_that_changed_go_on_over_several_jobs(kind: Any) -> None:
    one, two, three = Job(kind(job="1")), Job(kind(job="2")), Job(kind(job="3"))
    one.userdata.name = "Ada"
    one.userdata.dishes.append("soup")
    two.changes.restore(one.changes.changed())
    assert (two.userdata.name, two.userdata.dishes) == ("Ada", ["soup"])
    assert two.userdata.job == "2", "it did not change: each job has its own"
    two.userdata.dishes.append("fish")
    three.changes.restore(two.changes.changed())
    assert (three.userdata.name, three.userdata.dishes, three.userdata.job) == ("Ada", ["soup", "fish"], "3")
    assert one.changes.changed() == {"name": "Ada", "dishes": ["soup"]}


def test_a_field_that_changed_back_is_still_told() -> None:
    one, two, three = Job(Order("1")), Job(Order("2")), Job(Order("3"))
    one.userdata.name = "Ada"
    two.changes.restore(one.changes.changed())
    two.userdata.name = ""
    three.changes.restore(two.changes.changed())
    assert three.userdata.name == ""
    assert two.changes.changed() == {"name": ""}


def test_a_dict_takes_new_keys_and_an_object_does_not_take_unknown_fields() -> None:
    one, two = Job({"a": 1, 2: "b", "lock": object()}), Job({"a": 1})
    one.userdata["b"] = {"c": [1]}
    two.changes.restore(one.changes.changed())
    assert two.userdata == {"a": 1, "b": {"c": [1]}}
    plain = Job(Plain("1"))
    plain.changes.restore({"unknown": 1, "name": "Ada"})
    assert plain.userdata.name == "Ada"
    assert not hasattr(plain.userdata, "unknown")


@pytest.mark.parametrize("userdata", [None, 7, "text", ["a"], Order])
def test_what_has_no_fields_is_left_alone(userdata: Any) -> None:
    job = Job(userdata)
    job.changes.restore({"name": "Ada"})
    assert job.changes.changed() == {}


def test_a_field_that_cannot_be_written_is_named_and_the_others_are_written() -> None:
    @dataclass(frozen=True)
    class Frozen:
        name: str = ""

    job = Job(Frozen())
    job.changes.restore({"name": "Ada"})
    assert job.refused == 1
    assert job.userdata.name == ""
