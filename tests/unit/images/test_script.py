"""`make images`: what it asks of docker, buildah and podman, and what it refuses; the builders here only take notes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from docs.commands import TREE

pytestmark = pytest.mark.unit

VERSION = "0.1.0"


class Builder:
    """A program of that name which writes down what it is asked for."""

    def __init__(self, folder: Path, name: str) -> None:
        self.program = folder / name
        self._notes = folder / "notes"
        self.program.write_text(f'#!/bin/sh\necho "$*" >>{self._notes}\n')
        self.program.chmod(0o755)

    def run(self, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "BUILDER": str(self.program), **given}
        script = [str(TREE / "scripts/images.sh"), *arguments]
        return subprocess.run(script, env=env, capture_output=True, text=True, check=False)

    @property
    def asked(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []


@pytest.fixture(params=["docker", "buildah", "podman"])
def builder(request: pytest.FixtureRequest, tmp_path: Path) -> Builder:
    return Builder(tmp_path, request.param)


def test_three_images_are_built_and_none_is_pushed(builder: Builder) -> None:
    done = builder.run()
    assert done.returncode == 0, done.stderr
    assert builder.asked == [
        f"build --tag voicefleet/{name}:{VERSION} --file {name}/Dockerfile ."
        for name in ("worker", "controller", "loadtest")
    ]


def test_one_image_for_a_registry_is_pushed(builder: Builder) -> None:
    given = {"REGISTRY": "registry.example/team/", "PUSH": "1", "ONLY": "worker", "TAG": "7", "PLATFORM": "linux/arm64"}
    done = builder.run("--no-cache", **given, LOCK="requirements-local", BASE="mirror.example/python:3.11")
    assert done.returncode == 0, done.stderr
    name = "registry.example/team/voicefleet/worker:7"
    assert builder.asked == [
        f"build --no-cache --tag {name} --platform linux/arm64 --build-arg BASE=mirror.example/python:3.11"
        " --build-arg LOCK=requirements-local --file worker/Dockerfile .",
        f"push {name}",
    ]
    assert "--set global.imageRegistry=registry.example/team --set image.tag=7" in done.stdout


def test_several_platforms_are_one_name(builder: Builder) -> None:
    several = {"PLATFORM": "linux/amd64,linux/arm64", "REGISTRY": "r.example", "PUSH": "1", "ONLY": "worker"}
    done = builder.run(**several)
    assert done.returncode == 0, done.stderr
    name = f"r.example/voicefleet/worker:{VERSION}"
    built = "--platform linux/amd64,linux/arm64 --file worker/Dockerfile ."
    if builder.program.name == "docker":
        assert builder.asked == [f"buildx build --push --tag {name} {built}"]
    else:
        assert builder.asked == [
            f"manifest rm {name}",
            f"build --manifest {name} {built}",
            f"manifest push --all {name} docker://{name}",
        ]


def test_a_builder_that_fails_fails_it(builder: Builder) -> None:
    builder.program.write_text("#!/bin/sh\nexit 125\n")
    done = builder.run()
    assert done.returncode == 2
    assert f"images: {builder.program.name} ended with 125" in done.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PUSH": "1"}, "REGISTRY: is empty, and PUSH is 1. Write REGISTRY=registry.example/team."),
        ({"PUSH": "yes"}, "PUSH = 'yes': is neither 1 nor 0. Write PUSH=1."),
        ({"REGISTRY": "https://r.example"}, "REGISTRY = 'https://r.example': is no registry."),
        ({"ONLY": "worker helm"}, "ONLY = 'helm': not known. Use worker, controller or loadtest."),
        ({"BUILDER": "kaniko"}, "BUILDER = 'kaniko': not known. Use docker, buildah or podman."),
        ({"PLATFORM": "linux/amd64,linux/arm64"}, "docker keeps no image of several platforms."),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_built(
    given: dict[str, str], said: str, tmp_path: Path
) -> None:
    builder = Builder(tmp_path, "docker")
    done = builder.run(**given)
    assert done.returncode == 2
    assert said in done.stderr
    assert builder.asked == []
