"""Our images and those of the trial stack, as `docker save` archives in the cache.

The name of an archive says what it was made from, so an image is built again when its inputs changed and at no
other time. Settings of the package client come in as a mounted folder, which leaves nothing in an image.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from cluster.archive import Image, Start, program_archive
from cluster.install import follow, say
from cluster.programs import find
from voicefleet.contract.errors import MissingPartError
from voicefleet.runtime.supervisor.children import private_directory
from voicefleet.runtime.supervisor.settings import environment
from voicefleet.stack.alone import alone
from voicefleet.stack.find import cache_directory, find_livekit_server

ROOT = Path(__file__).parent.parent.parent
COMPONENTS = ("worker", "controller", "loadtest")
TAG = "test"
BASE = "localhost/debian-python:3.11"
_SUITE = "bookworm"
_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_SETTINGS_FOLDER = "/mnt"
_BUILD_LIMIT_S = 1200.0
_KEPT = 2
"""Archives of one image that stay in the cache: the present one, and one to go back to."""

_KEPT_LAYERS = 600
"""Layers of the builder's cache, a dozen for each image; with more, those of no present image are removed."""


def component_image(component: str) -> Image:
    """Where the image of a component is, built or not."""
    return Image(f"localhost/voicefleet-{component}:{TAG}", _folder() / f"{component}-{_inputs_of(component)}.tar")


def stack_images() -> list[Image]:
    """A livekit-server and a Redis as their own images start them; made from this machine's programs in a moment.

    Raises:
        MissingPartError: one of the programs is not here.
    """
    livekit, redis = find_livekit_server().path, find("redis-server")
    return [
        _program_image("livekit-server", {"/livekit-server": livekit}, Start(("/livekit-server",))),
        _program_image(
            "redis",
            {"/usr/local/bin/redis-server": redis, "/usr/local/bin/redis-cli": find("redis-cli")},
            Start((), ("redis-server",)),
        ),
        _program_image("busybox", {}, Start((), ("sh",))),
    ]


def kubectl_image() -> Image:
    """A kubectl and a shell, as jobs in a cluster have them."""
    return _program_image("kubectl", {"/bin/kubectl": find("kubectl")}, Start((), ("sh",)))


def images() -> list[Image]:
    """All images, built now if they are not there.

    Raises:
        MissingPartError: a program for it is not on this machine, or we are not root.
        UsageError: a build failed; the message has its last lines.
    """
    _folder().mkdir(parents=True, exist_ok=True)
    ours = [component_image(component) for component in COMPONENTS]
    if not all(image.archive.exists() for image in ours):
        with alone(_folder() / "build.lock", "the images", say):
            for component, image in zip(COMPONENTS, ours, strict=True):
                if not image.archive.exists():
                    _build(component, image)
    return [*ours, *stack_images()]


def _build(component: str, image: Image) -> None:
    if os.geteuid() != 0:
        raise MissingPartError(
            "images are built as root", field="user", value=os.geteuid(), hint="Run the cluster tests as root."
        )
    with private_directory("images") as work:
        buildah = Buildah(work)
        if not buildah.has(BASE):
            _make_base(buildah, work)
        say(f"building the image of {component}")
        buildah.run(
            *("build", *build_options(work), "--build-arg", f"BASE={BASE}"),
            *("--file", str(ROOT / component / "Dockerfile"), "--tag", image.name, str(ROOT)),
        )
        partial = work / "image.tar"
        buildah.run("push", "--quiet", image.name, f"docker-archive:{partial}:{image.name}")
        moving = image.archive.with_suffix(".part")
        shutil.move(partial, moving)
        moving.replace(image.archive)
        if len(buildah.run("images", "--all", "--quiet").split()) > _KEPT_LAYERS:
            # The store is ours alone, and so is this moment: what a build holds that was killed is nobody's.
            buildah.run("rm", "--all")
            buildah.run("rmi", "--prune")
    _forget_old(component)


def build_options(work: Path) -> tuple[str, ...]:
    """What every build on this machine is given: no privileges, and the settings of its pip, put into `work`."""
    _package_settings(work / "settings")
    return (
        *("--isolation", "chroot", "--network", "host", "--layers", "--pull-never"),
        *("--volume", f"{work / 'settings'}:{_SETTINGS_FOLDER}:ro"),
        *("--build-arg", f"PIP_CONFIG_FILE={_SETTINGS_FOLDER}/pip.conf"),
        *(
            ("--build-arg", f"SSL_CERT_FILE={_SETTINGS_FOLDER}/ca.crt")
            if (work / "settings" / "ca.crt").exists()
            else ()
        ),
    )


def own_agent_image(context: Path, name: str) -> Image:
    """An image that a team makes on our worker, from the `Dockerfile` in `context`, where its archive is put too.

    Raises:
        UsageError: the build failed; the message has its last lines.
    """
    image = Image(name, context / "image.tar")
    with alone(_folder() / "build.lock", "the images", say), private_directory("images") as work:
        buildah = Buildah(work)
        # By its id: the name may be that of another tree's worker.
        worker = buildah.run("pull", "--quiet", f"docker-archive:{component_image('worker').archive}").strip()
        buildah.run(
            *("build", *build_options(work), "--build-arg", f"BASE={BASE}", "--build-arg", f"WORKER={worker}"),
            *("--tag", name, str(context)),
        )
        buildah.run("push", "--quiet", name, f"docker-archive:{image.archive}:{name}")
        buildah.run("rmi", name)
    return image


def _make_base(buildah: Buildah, work: Path) -> None:
    """What `python:3.11-slim` is elsewhere: a small Debian with Python."""
    say(f"making a base image of Debian {_SUITE} (a minute, once)")
    root = work / "base"
    follow(
        [find("debootstrap"), "--variant=minbase", f"--include={_BASE_PACKAGES}", _SUITE, root],
        work / "debootstrap.log",
        "debootstrap",
        _BUILD_LIMIT_S,
    )
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / waste, ignore_errors=True)
    container = buildah.run("from", "scratch").strip()
    buildah.run("add", "--quiet", container, str(root), "/")
    buildah.run("config", "--cmd", "python3", container)
    buildah.run("commit", "--quiet", "--rm", container, BASE)


class Buildah:
    """buildah with a store of its own in our cache, so that layers that did not change are used again."""

    def __init__(self, work: Path) -> None:
        store = cache_directory() / "cluster" / "buildah"
        self._work = work
        self._global: list[str | Path] = [find("buildah"), "--root", str(store), "--runroot", str(work / "run")]
        self.command = " ".join(map(str, self._global))
        """The command with its global options, to be given to others."""
        self._environment = {"TMPDIR": str(work), "PATH": f"{environment().get('PATH', '')}:/usr/sbin:/sbin"}

    def has(self, image: str) -> bool:
        done = subprocess.run([*self._global, "inspect", "--type", "image", image], capture_output=True, check=False)
        return done.returncode == 0

    def run(self, *arguments: str) -> str:
        return follow(
            [*self._global, *arguments],
            self._work / "buildah.log",
            f"buildah {arguments[0]}",
            _BUILD_LIMIT_S,
            self._environment,
        )


def _package_settings(folder: Path) -> None:
    """The settings of this machine's pip, for the pip in a build; a certificate's file goes with them."""
    folder.mkdir()
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = value.strip("'\"")
    kept = {
        name: value
        for name, value in settings.items()
        if name in {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries"}
    }
    if certificate := settings.get("cert"):
        shutil.copyfile(certificate, folder / "ca.crt")
        kept["cert"] = f"{_SETTINGS_FOLDER}/ca.crt"
    parser = configparser.RawConfigParser()
    parser["global"] = kept
    with (folder / "pip.conf").open("w") as file:
        parser.write(file)


def _program_image(name: str, programs: dict[str, Path], start: Start) -> Image:
    key = _digest([*programs.values(), Path(__file__).with_name("archive.py")])
    image = Image(f"localhost/{name}:{TAG}", _folder() / f"{name}-{key}.tar")
    if not image.archive.exists():
        program_archive(image.archive, image.name, programs, start)
        _forget_old(name)
    return image


def copied(component: str) -> list[Path]:
    """The files and folders that the Dockerfile of a component copies from the repository."""
    text = (ROOT / component / "Dockerfile").read_text().replace("\\\n", " ")
    copies = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from=" not in line]
    return [ROOT / name for names in copies for name in names]


def copied_modules(component: str) -> list[Path]:
    """The files of ours that are in the wheel of an image."""
    return sorted(
        file
        for path in copied(component)
        if "voicefleet" in path.relative_to(ROOT).parts
        for file in (path.rglob("*") if path.is_dir() else [path])
        if file.is_file() and file.suffix != ".pyc"
    )


def _inputs_of(component: str) -> str:
    """Everything that the image is made of, and the way the base is made."""
    files = [path for path in copied(component) if path.is_file()]
    files += [ROOT / ".dockerignore", ROOT / component / "Dockerfile", *copied_modules(component)]
    return _digest(files, f"{_SUITE} {_BASE_PACKAGES}")


def _digest(files: Iterable[Path], more: str = "") -> str:
    digest = hashlib.sha256(more.encode())
    for file in files:
        digest.update(f"\0{file.name}\0".encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:12]


def _forget_old(name: str) -> None:
    archives = sorted(_folder().glob(f"{name}-*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
    for archive in archives[_KEPT:]:
        archive.unlink()


def _folder() -> Path:
    return cache_directory() / "cluster" / "images"
