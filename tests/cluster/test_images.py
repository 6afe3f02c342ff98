"""What the images hold: the packages of the lock and nothing else, listed, and no tool that installs more."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cluster.image_content import Content, content
from cluster.images import COMPONENTS, ROOT, copied_modules, images
from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.settings import environment

pytestmark = pytest.mark.cluster

MOST_MB = {"worker": 530, "controller": 450, "loadtest": 330}
"""Size of an archive; the base image is 150 MB of it."""
LIST = "opt/voicefleet/sbom.cdx.json"
# The base of these tests is Debian 12, with its Python.
PYTHON = {"python_version": "3.11", "python_full_version": "3.11.2"}


@pytest.fixture(params=COMPONENTS)
def component(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def image(component: str) -> Iterator[Content]:
    try:
        built = images()
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(f"{error} Or run `make cluster`.")
    (archive,) = (image.archive for image in built if image.name.startswith(f"localhost/voicefleet-{component}:"))
    with content(archive) as opened:
        yield opened


def test_an_image_lists_what_is_in_it_and_that_is_what_was_locked(component: str, image: Content) -> None:
    listed = json.loads(image.read(LIST))
    assert listed["bomFormat"] == "CycloneDX"
    assert listed["metadata"]["component"]["name"] == "voicefleet"
    found = {(canonicalize_name(part["name"]), part["version"]) for part in listed["components"]}
    assert found == locked(component)
    unlisted = {str(canonicalize_name(name)) for name in installed(image)} - {str(name) for name, _ in found}
    assert unlisted == {"voicefleet"}


def test_an_image_has_no_installer_and_no_compiler(image: Content) -> None:
    tools = ("bin/pip", "bin/pip3", "bin/uv", "bin/cyclonedx-py", "bin/gcc", "bin/cc", "bin/go")
    assert [name for name in image.names if name.endswith(tools)] == []
    assert {"pip", "uv", "hatchling", "setuptools", "cyclonedx_bom"} & set(installed(image)) == set()


def test_an_image_carries_its_component_alone(component: str, image: Content) -> None:
    ours = {name for name in image.names if "/site-packages/voicefleet/" in name and not name.endswith(".pyc")}
    assert {name.partition("/voicefleet/")[2].partition("/voicefleet/")[2] for name in ours} == {
        "/".join(file.parts[file.parts.index("voicefleet") + 1 :]) for file in copied_modules(component)
    }


def installed(image: Content) -> list[str]:
    """Packages in our environment, by their metadata."""
    return [
        name.split("/")[-2].partition("-")[0]
        for name in image.names
        if name.startswith("opt/voicefleet/lib/") and name.endswith(".dist-info/METADATA")
    ]


def locked(component: str) -> set[tuple[str, str]]:
    """(name, version) of the lock for this platform."""
    lines = (ROOT / component / "requirements.lock").read_text().splitlines()
    entries = [Requirement(line.removesuffix("\\").strip()) for line in lines if line[:1].isalnum()]
    here = {**PYTHON, "platform_machine": platform.machine()}
    return {
        (canonicalize_name(entry.name), str(entry.specifier).removeprefix("=="))
        for entry in entries
        if entry.marker is None or entry.marker.evaluate(here)
    }
