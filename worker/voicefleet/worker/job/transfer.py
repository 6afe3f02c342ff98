"""Transfers a phone's call to another number (SIP REFER). Who was transferred talks to somebody else: the agent's part
is over, and the call is released."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from livekit import api, rtc

from voicefleet.worker.call import TransferFailedError

_SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
_TARGET = re.compile(r"^(tel:\+?[0-9]{2,15}|sips?:[^\s<>]{1,200})$")
_NUMBER = re.compile(r"^\+?[0-9]{2,15}$")
TRANSFERRED = "transferred"


def target(to: str) -> str:
    """The address for SIP: a number, or `tel:` or `sip:` with what belongs to it. Raises `TransferFailedError`."""
    address = f"tel:{to}" if _NUMBER.match(to) else to
    if not _TARGET.match(address):
        raise TransferFailedError('to whom is no number: give "+4930...", "tel:+4930..." or "sip:USER@HOST"')
    return address


async def transfer(
    lk: api.LiveKitAPI, room: rtc.Room, to: str, *, play_dialtone: bool, headers: Mapping[str, str]
) -> None:
    """Have the phone in `room` talk to `to` in place of us; returns once it does.

    Raises:
        TransferFailedError: not exactly one phone is in the room, or it was refused; the call is as it was.
    """
    address = target(to)
    phones = [p.identity for p in room.remote_participants.values() if p.kind == _SIP]
    if len(phones) != 1:
        raise TransferFailedError(f"{len(phones)} phones are in the room: exactly one can be transferred")
    request = api.TransferSIPParticipantRequest(
        participant_identity=phones[0],
        room_name=room.name,
        transfer_to=address,
        play_dialtone=play_dialtone,
        headers=dict(headers),
    )
    try:
        await lk.sip.transfer_sip_participant(request)
    except api.ServerError as error:
        code: Any = error.metadata.get("sip_status_code", "")
        raise TransferFailedError(
            f"refused: {error.metadata.get('sip_status') or error.code}", int(code) if code.isdigit() else 0
        ) from error
    except OSError as error:
        raise TransferFailedError(f"LiveKit did not answer ({type(error).__name__})") from error
