"""Images of one's own, by the letter of the chart's README: `make images` into a registry, and an agent with a plugin.

The plugin is a real package, from the package index of this machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from chart.values_table import CHART

from cluster.archive import Image
from cluster.conftest import or_skip
from cluster.image_content import content
from cluster.images import BASE, ROOT, Buildah, build_options, component_image, images, own_agent_image
from cluster.kube import CommandError
from cluster.registry import registry
from cluster.trial import RELEASE, Trial, values
from cluster.whole import Cluster
from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.settings import environment

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NAMESPACE = "own"
PLUGIN = "livekit/plugins/deepgram"
AGENT = """
from livekit.agents import Agent
from livekit.plugins import deepgram


def create(call):
    return Agent(instructions="Answer in one sentence.")
"""
TIERS: dict[str, Any] = {
    "default": "fast",
    "tiers": {
        "fast": {
            "stt": {"plugin": "livekit.plugins.deepgram:STT", "args": {"api_key": {"env": "DEEPGRAM_API_KEY"}}},
            "llm": {"plugin": "voicefleet.local.synthetic:SyntheticLLM"},
            "tts": {"plugin": "voicefleet.local.synthetic:SyntheticTTS"},
        }
    },
}
KEY = {"name": "DEEPGRAM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "providers", "key": "deepgram"}}}


def block(begin: str) -> str:
    """The indented block of the README's section that begins so, up to an empty line."""
    text = (CHART / "README.md").read_text().partition("\n## Your own agent\n")[2]
    lines = text[text.index(f"    {begin}") :].partition("\n\n")[0].splitlines(keepends=True)
    return "".join(line.removeprefix("    ") for line in lines)


@pytest.fixture(scope="module")
def built() -> None:
    """Our images, which what is built here begins with."""
    try:
        images()
    except MissingPartError as error:
        if environment().get("CI"):
            raise
        pytest.skip(f"{error} Or run `make cluster`.")


@pytest.fixture(scope="module")
def own_image(built: None, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The README's Dockerfile, built on our worker with what a team has beside it."""
    folder = tmp_path_factory.mktemp("agent")
    (folder / "Dockerfile").write_text(block("# Dockerfile"))
    (folder / "requirements.txt").write_text(block("# requirements.txt"))
    (folder / "my_pkg").mkdir()
    (folder / "my_pkg" / "my_agent.py").write_text(AGENT)
    return own_agent_image(folder, "localhost/my-agent:7")


def given(repository: str, tag: str, **worker: Any) -> dict[str, Any]:
    """A trial whose workers hear with the plugin."""
    made = values(beside=True)
    made["worker"] |= {
        "image": {"repository": repository, "tag": tag},
        "agent": "my_pkg.my_agent:create",
        "tiers": {"content": TIERS},
        "extraEnv": [KEY],
        **worker,
    }
    return made


def test_the_plugin_is_all_that_comes_on_top(own_image: Image) -> None:
    with content(own_image.archive) as mine, content(component_image("worker").archive) as ours:
        added = {name for name in mine.names - ours.names if not name.endswith(".pyc")}
        assert any(PLUGIN in name for name in added)
        assert all("deepgram" in name or name.startswith(("opt/agent/", "opt/voicefleet/lib")) for name in added), added
        packages = {name.split("/")[-2] for name in added if name.endswith(".dist-info/METADATA")}
        assert not any(name.startswith(("livekit_agents", "livekit-")) for name in packages), "another SDK than ours"
    more_mb = (own_image.archive.stat().st_size - component_image("worker").archive.stat().st_size) / 1e6
    assert more_mb < 20, "the environment is in the image twice"


def test_an_image_without_the_agent_or_its_plugin_is_refused_and_nothing_is_made(cluster: Cluster) -> None:
    trial = Trial(cluster, NAMESPACE)
    worker = component_image("worker").name.rpartition(":")
    cases = {
        "there is no module my_pkg": given(worker[0], worker[2]),
        "tiers.fast.stt.plugin = 'livekit.plugins.deepgram:STT': the plugin is not installed": given(
            worker[0], worker[2], agent=""
        ),
    }
    for said, wrong in cases.items():
        with pytest.raises(CommandError) as refused:
            trial.helm("install", wrong, "--create-namespace")
        assert said in str(refused.value)
        assert "Nothing was changed." in str(refused.value)
        print(refused.value)
        made = cluster.kubectl("get", "deployments,secrets,configmaps", "-n", NAMESPACE, "-o", "name").split()
        # helm's own word that it failed, and what Kubernetes puts into every namespace.
        assert made == [f"secret/sh.helm.release.v1.{RELEASE}.v1", "configmap/kube-root-ca.crt"]
        assert trial.pool_namespace not in cluster.kubectl("get", "namespaces", "-o", "name")
        trial.helm("uninstall")


def test_the_teams_image_is_taken_runs_and_outlives_a_refused_upgrade(cluster: Cluster, own_image: Image) -> None:
    cluster.node.load(own_image)
    repository, _, tag = own_image.name.rpartition(":")
    trial = Trial(cluster, NAMESPACE)
    trial.helm("install", given(repository, tag), "--create-namespace")
    try:
        trial.kubectl("create", "secret", "generic", "providers", "--from-literal=deepgram=a-key-of-nobody")
        trial.kubectl("rollout", "status", trial.pool, "--timeout=120s")
        before = [pod["metadata"]["uid"] for pod in trial.workers()]
        wrong = given(repository, tag, tiers={"content": json.loads(json.dumps(TIERS).replace(":STT", ":SST"))})
        with pytest.raises(CommandError, match="has no class SST"):
            trial.helm("upgrade", wrong)
        assert [pod["metadata"]["uid"] for pod in trial.workers()] == before
    finally:
        trial.helm("uninstall")
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[Pushed]:
    """A registry, and a builder that pushes into it."""
    with or_skip(registry(tmp_path)) as address, private_directory("images") as work:
        yield Pushed(address, tmp_path, work)


class Pushed:
    """What `make images` pushed into a registry."""

    def __init__(self, address: str, folder: Path, work: Path) -> None:
        self.registry = f"{address}/team"
        self.work = work
        self._api = f"http://{address}/v2/team/voicefleet"
        conf = folder / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
        self._builder = f"{Buildah(work).command} --registries-conf {conf}"

    def make(self, tree: Path, arguments: Sequence[str], **given: str) -> str:
        """Run it in a tree; what it printed."""
        wanted = {
            "REGISTRY": self.registry,
            "PUSH": "1",
            "BUILDER": self._builder,
            "ARGS": " ".join(arguments),
            **given,
        }
        command = ["make", "images", *(f"{name}={value}" for name, value in wanted.items())]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, path: str) -> Any:
        """A document of the registry."""
        kinds = "application/vnd.oci.image.index.v1+json,application/vnd.docker.distribution.manifest.list.v2+json"
        asked = urllib.request.Request(f"{self._api}/{path}", headers={"Accept": kinds})
        with urllib.request.urlopen(asked, timeout=5.0) as answer:
            return json.load(answer)


def test_make_images_builds_and_pushes_what_the_chart_asks_for(built: None, pushed: Pushed) -> None:
    said = pushed.make(ROOT, build_options(pushed.work), ONLY="controller", TAG="7", BASE=BASE)
    assert f"--set global.imageRegistry={pushed.registry} --set image.tag=7" in said
    assert pushed.get("controller/tags/list")["tags"] == ["7"]
    Buildah(pushed.work).run("rmi", f"{pushed.registry}/voicefleet/controller:7")


def test_images_of_several_platforms_have_one_name_and_a_second_build_replaces_them(
    pushed: Pushed, tmp_path: Path
) -> None:
    # Nothing runs in these images, so another machine's can be built here.
    (tmp_path / "scripts").mkdir()
    (tmp_path / "worker").mkdir()
    for name in ("Makefile", "scripts/images.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "worker" / "Dockerfile").write_text("FROM scratch\nCOPY pyproject.toml /\n")
    for _ in range(2):
        options = ("--isolation", "chroot")
        pushed.make(tmp_path, options, ONLY="worker", TAG="8", PLATFORM="linux/amd64,linux/arm64")
        found = [manifest["platform"]["architecture"] for manifest in pushed.get("worker/manifests/8")["manifests"]]
        assert sorted(found) == ["amd64", "arm64"]
    Buildah(pushed.work).run("manifest", "rm", f"{pushed.registry}/voicefleet/worker:8")


def test_the_release_is_named_as_the_readme_names_it() -> None:
    assert f"kubectl logs {RELEASE}-eu-check" in (CHART / "README.md").read_text()
