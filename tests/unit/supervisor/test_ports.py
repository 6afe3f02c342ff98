from __future__ import annotations

import socket
from pathlib import Path

import pytest

from voicefleet.contract.errors import ConfigError, UsageError
from voicefleet.runtime.supervisor import ports as module
from voicefleet.runtime.supervisor.ports import Ports, is_free, require_free

pytestmark = pytest.mark.unit


def test_no_port_is_given_twice_while_it_is_held(tmp_path: Path) -> None:
    with Ports(tmp_path) as one, Ports(tmp_path) as other:
        given = [pool.tcp() for pool in (one, other) for _ in range(20)]
        assert len(set(given)) == 40
        assert all(is_free(port, "tcp") for port in given)


def test_a_port_comes_back_when_its_holder_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ports(tmp_path) as pool:
        port = pool.udp()
        monkeypatch.setattr(module, "_FIRST", port)
        monkeypatch.setattr(module, "_LAST", port + 1)
        with Ports(tmp_path) as other, pytest.raises(UsageError, match="no free UDP port"):
            other.udp()
    with Ports(tmp_path) as pool:
        assert pool.udp() == port


@pytest.mark.parametrize(("transport", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_a_taken_port_is_refused_with_its_field(transport: module.Transport, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if transport == "tcp":
            holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            require_free(port, transport, field="eu.port")
    assert (caught.value.field, caught.value.value) == ("eu.port", port)
    require_free(port, transport, field="eu.port")
