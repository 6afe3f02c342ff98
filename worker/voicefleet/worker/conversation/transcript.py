"""The transcript of a call, as a value and as text: for the agent that takes the call over. No I/O.

Personal data: bounded in size, and encrypted when a key is given. Whatever a team's agent kept, and whatever stands in
Redis, the call goes on: what cannot be used is left out, and named as a `Loss`.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.listed import listed

VERSION = 1
_OPTIONAL = ("trace", "agent", "userdata", "work", "left_s", "released", "voice")
SAME_CALL_S = 60.0
"""A caller who is back in a new room of the same name within this time goes on with the same call."""

Item = dict[str, Any]
"""One of livekit-agents' chat items, as JSON."""


class Loss(enum.StrEnum):
    """Which part of a transcript was lost, or why all of it; the label of a metric."""

    TOO_LARGE = "too_large"
    """The oldest items."""
    KEPT_REFUSED = "kept_refused"
    """What the agent kept: it is no JSON, or alone too large."""
    USERDATA_REFUSED = "userdata_refused"
    """The session's userdata: it is too large, or a field could not be written."""
    AGENT_REFUSED = "agent_refused"
    """Which agent had the call: it cannot be made again, so the first one takes the call."""
    UNREADABLE = "unreadable"
    UNDECRYPTABLE = "undecryptable"
    PLAINTEXT = "plaintext"
    """It is not encrypted, and there is a key: anybody who reaches Redis may have put it there."""
    UNREACHABLE = "unreachable"
    NOT_TAKEN = "not_taken"
    """A realtime model did not take the conversation in time, or refused it."""
    RESTORE_FAILED = "restore_failed"
    """The team's agent raised on what was kept."""


class LostTranscriptError(Exception):
    """No transcript can be made of this. What it holds is never in the message."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.value)
        self.loss = loss


@dataclass(frozen=True, slots=True)
class CallTranscript:
    """A conversation. `kept` is what the team's agent chose to keep."""

    tier: str
    items: Sequence[Item]
    kept: dict[str, Any] = field(default_factory=dict)
    sid: str = ""
    """The room's own id. Names of rooms recur, and no caller may hear of another's call."""
    caller: str = ""
    """The caller's identity in the room."""
    at_s: float = 0.0
    """When it was made, Unix time of the writer."""
    trace: str = ""
    """The W3C trace context of the job that wrote it: the next one goes on with the same trace."""
    agent: dict[str, Any] = field(default_factory=dict)
    """Which agent has the call, see `current_agent`; empty: the first one, which the team's code makes anyway."""
    userdata: dict[str, Any] = field(default_factory=dict)
    """Fields of the session's userdata that changed."""
    work: tuple[str, ...] = ()
    """Names of what was under way, and is cut off if this is the last that was written."""
    left_s: float = 0.0
    """When the caller left in order, Unix time of the writer; 0: it did not."""
    released: bool = False
    """The agent left on purpose: whoever reads this was asked for."""
    voice: str = ""
    """The tier whose voice the caller knows, where that is not the call's own tier: the ladder began the call lower."""

    def is_of(self, sid: str, caller: str, now_s: float) -> bool:
        """Whether this is of the call of `caller` in the room `sid`. After a restart of LiveKit the same call goes on
        in a new room."""
        return sid == self.sid or (bool(caller) and caller == self.caller and abs(now_s - self.at_s) <= SAME_CALL_S)


class Cipher(Protocol):
    """Encryption at rest, as `cryptography.fernet` has it."""

    def encrypt(self, msg: bytes) -> bytes: ...
    def decrypt(self, msg: bytes) -> bytes: ...


def build_cipher(keys: str) -> Cipher | None:
    """The cipher of `keys`, comma-separated, the newest first; None for no key.

    Raises:
        ConfigError: one of them is no key.
    """
    names = listed(keys)
    if not names:
        return None
    # Here, because most workers have no key, and their job processes need not carry it.
    from cryptography.fernet import Fernet, MultiFernet

    try:
        return MultiFernet([Fernet(name) for name in names])
    except ValueError as error:
        raise ConfigError(
            "not a Fernet key (32 bytes in URL-safe base64), or a list of them",
            field="VOICEFLEET_TRANSCRIPT_KEY",
            hint=(
                "Make one with: python -c "
                "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
            ),
        ) from error


def encode(transcript: CallTranscript, max_bytes: int, cipher: Cipher | None = None) -> tuple[str, tuple[Loss, ...]]:
    """Text of at most `max_bytes` before encryption, and what was lost for it. The oldest items go first, a function's
    output never without its call.

    Raises:
        LostTranscriptError: the conversation is no JSON.
    """
    lost: list[Loss] = []
    kept = _as_json(transcript.kept)
    try:
        about = {"tier": transcript.tier, "sid": transcript.sid, "caller": transcript.caller, "at_s": transcript.at_s}
        # What an older release neither writes nor reads, where there is any.
        more = {name: value for name in _OPTIONAL if (value := getattr(transcript, name))}
        head = json.dumps({"v": VERSION, **about, **more}, separators=(",", ":"))
        if len(head) > max_bytes // 2 and more.pop("userdata", None) is not None:
            lost.append(Loss.USERDATA_REFUSED)
            head = json.dumps({"v": VERSION, **about, **more}, separators=(",", ":"))
        items = [json.dumps(item, separators=(",", ":")) for item in transcript.items]
    except (TypeError, ValueError, RecursionError) as error:
        raise LostTranscriptError(Loss.UNREADABLE) from error
    room = max_bytes - len(head) - len(',"kept":,"items":[]')
    if kept is None or len(kept) > room:
        lost.append(Loss.KEPT_REFUSED)
        kept = "{}"
    fitting = _fitting(transcript.items, [len(i) + 1 for i in items], room - len(kept))
    if len(fitting) < len(items):
        lost.append(Loss.TOO_LARGE)
    text = f'{head[:-1]},"kept":{kept},"items":[{",".join(items[n] for n in fitting)}]}}'
    return (cipher.encrypt(text.encode()).decode() if cipher else text), tuple(lost)


def decode(text: str, cipher: Cipher | None = None, *, plaintext: bool = False) -> CallTranscript:
    """The transcript in `text`.

    Args:
        plaintext: read plain text also where there is a key, while calls from before the key go on.

    Raises:
        LostTranscriptError: it is none that this release reads, or plain text where there is a key.
    """
    if text.startswith("{"):
        if cipher is not None and not plaintext:
            raise LostTranscriptError(Loss.PLAINTEXT)
    else:
        try:
            if cipher is None:
                raise ValueError("no key")
            text = cipher.decrypt(text.encode()).decode()
        except Exception as error:  # Of the library's own errors only one is documented.
            raise LostTranscriptError(Loss.UNDECRYPTABLE) from error
    try:
        raw = json.loads(text)
        items, kept = raw["items"], raw["kept"]
        if raw["v"] != VERSION or not isinstance(kept, dict) or not isinstance(items, list):
            raise ValueError("not a transcript of a version this release reads")
        caller, at_s = str(raw.get("caller", "")), float(raw.get("at_s", 0.0))
        tier, sid, trace = (str(raw.get(name, "")) for name in ("tier", "sid", "trace"))
        agent, userdata = (_object(raw.get(name, {})) for name in ("agent", "userdata"))
        work, left_s = tuple(str(name) for name in raw.get("work", [])), float(raw.get("left_s", 0.0))
        released, voice = bool(raw.get("released", False)), str(raw.get("voice", ""))
        about = trace, agent, userdata, work, left_s, released, voice
        return CallTranscript(tier, items, kept, sid, caller, at_s, *about)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise LostTranscriptError(Loss.UNREADABLE) from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _as_json(kept: dict[str, Any]) -> str | None:
    try:
        return json.dumps(kept, separators=(",", ":"), allow_nan=False)
    except Exception:  # The team's own objects may raise anything.
        return None


def _fitting(items: Sequence[Item], sizes: Sequence[int], room: int) -> list[int]:
    """The numbers of the items that stay: the newest that fit into `room` bytes, and no output without its call."""
    first, total = len(sizes), 0
    while first > 0 and total + sizes[first - 1] <= room:
        first -= 1
        total += sizes[first]
    gone = {i.get("call_id") for i in items[:first] if i.get("type") == "function_call"}
    return [
        n
        for n in range(first, len(items))
        if items[n].get("type") != "function_call_output" or items[n].get("call_id") not in gone
    ]
