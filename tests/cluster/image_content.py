"""What is in an image: files of its layers, read from the archive."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

_WHITEOUT = ".wh."


class Content:
    """The layers of an image, the last first."""

    def __init__(self, layers: list[tarfile.TarFile]) -> None:
        self._layers = layers
        self.names = _visible(layers)
        """Paths of its files, without those that a later layer removed."""

    def read(self, path: str) -> bytes:
        """A file's content.

        Raises:
            KeyError: it is not in the image.
        """
        if path in self.names:
            for layer in self._layers:
                for name in (path, f"./{path}"):
                    if name in layer.getnames() and (file := layer.extractfile(name)) is not None:
                        return file.read()
        raise KeyError(path)


@contextmanager
def content(archive: Path) -> Iterator[Content]:
    """Open a `docker save` archive."""
    with tarfile.open(archive) as image, ExitStack() as stack:
        manifest = image.extractfile("manifest.json")
        assert manifest is not None
        (entry,) = json.load(manifest)
        layers = [image.extractfile(layer) for layer in reversed(entry["Layers"])]
        yield Content([stack.enter_context(tarfile.open(fileobj=layer)) for layer in layers])


def _visible(layers: list[tarfile.TarFile]) -> set[str]:
    names, removed = set[str](), set[str]()
    for layer in layers:
        gone = set[str]()
        for member in layer.getmembers():
            path = PurePosixPath(member.name)
            if path.name.startswith(_WHITEOUT):
                gone.add(str(path.with_name(path.name.removeprefix(_WHITEOUT))))
            elif not member.isdir() and not any(str(parent) in removed for parent in (path, *path.parents)):
                names.add(str(path))
        removed |= gone
    return names
