"""The keys and certificates of one test cluster: an authority of its own, in one private folder.

`trustme` makes them. Leaves are valid for a day, for servers and for clients alike. Ours is what it lacks: files of
mode 0600, and the bare key pair that signs the tokens of service accounts.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

_BEFORE = datetime.timedelta(hours=1)
_AFTER = datetime.timedelta(days=1)
_NO_HOST = "client.invalid"
"""A certificate without any name for a host is refused: `trustme` marks that extension as critical."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for servers and clients, and writes them into a folder."""

    def __init__(self, folder: Path, name: str = "voicefleet-test") -> None:
        self._folder = folder
        self._ca = trustme.CA(organization_name=name)
        self.certificate = _write(folder / "ca.crt", self._ca.cert_pem.bytes())

    def server(self, name: str, hosts: Sequence[str]) -> Pair:
        """A serving certificate for host names and addresses."""
        return self._issue(name, *hosts, common_name=name)

    def client(self, file: str, user: str, group: str | None = None) -> Pair:
        """A client certificate: Kubernetes takes the common name for the user, the organisation for the group."""
        return self._issue(file, _NO_HOST, common_name=user, group=group)

    def signing_key(self, file: str) -> Pair:
        """A bare key pair, as for service account tokens; `certificate` is the public key."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return Pair(_write(self._folder / f"{file}.pub", public), _write(self._folder / f"{file}.key", private))

    def _issue(self, file: str, *hosts: str, common_name: str, group: str | None = None) -> Pair:
        # The library wants the day; certificates are of this process alone, so its clock is right for them.
        now = datetime.datetime.now(datetime.UTC)
        leaf = self._ca.issue_cert(
            *hosts,
            common_name=common_name,
            organization_name=group,
            not_before=now - _BEFORE,
            not_after=now + _AFTER,
        )
        return Pair(
            _write(self._folder / f"{file}.crt", leaf.cert_chain_pems[0].bytes()),
            _write(self._folder / f"{file}.key", leaf.private_key_pem.bytes()),
        )


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)
    return path
