"""The last lines of a worker's log, before anybody sees them."""

from __future__ import annotations

import pytest

from voicefleet.controller.adapters.kubernetes.pods import read_pod
from voicefleet.controller.adapters.processes.redaction import redacted, secrets_in

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("OPENAI_API_KEY=planted-hush-4242 is refused", "planted-hush-4242"),
        ('{"api_key": "planted-hush-4242", "event": "refused"}', "planted-hush-4242"),
        ("api_secret: planted-hush-4242", "planted-hush-4242"),
        ("Authorization: Bearer planted-hush-4242", "planted-hush-4242"),
        ("cannot reach redis://fleet:planted-hush@10.0.0.1:6379/0", "planted-hush"),
        ("Incorrect API key provided: sk-proj-AbCdEfGhIjKlMnOp1234", "sk-proj-AbCdEfGhIjKlMnOp1234"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrIn0.c2lnbmF0dXJl was refused", "c2lnbmF0dXJl"),
        ("the model said no: hush-of-the-environment", "hush-of-the-environment"),
        ("redis refuses hush@address", "hush@address"),
    ],
)
def test_a_secret_in_a_log_line_is_not_shown(line: str, secret: str) -> None:
    known = secrets_in(
        {"SOME_PROVIDER_TOKEN": "hush-of-the-environment", "VOICEFLEET_REDIS_URL": "redis://u:hush%40address@h:1"}
    )
    shown = redacted(line, known)
    assert secret not in shown
    assert "[hidden]" in shown


@pytest.mark.parametrize(
    "line",
    [
        "LIVEKIT_URL = ws://127.0.0.1:7880: LiveKit does not answer. Start LiveKit there.",
        "VOICEFLEET_TRANSCRIPT_KEY: not a Fernet key (32 bytes in URL-safe base64), or a list of them.",
        "ModuleNotFoundError: No module named 'numpy'",
    ],
)
def test_what_helps_is_left(line: str) -> None:
    assert redacted(line, secrets_in({"LIVEKIT_URL": "ws://127.0.0.1:7880", "KEY": "1", "PATH": "/usr/bin"})) == line


def test_the_last_words_of_a_container_are_redacted_too() -> None:
    last = {"terminated": {"exitCode": 2, "reason": "Error", "message": "OPENAI_API_KEY=planted-hush-4242 is refused"}}
    container = {"name": "worker", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}
    pod = read_pod(
        {
            "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "containerStatuses": [{**container, "restartCount": 3}]},
        }
    )
    assert "is refused" in pod.detail
    assert "planted-hush-4242" not in pod.detail
