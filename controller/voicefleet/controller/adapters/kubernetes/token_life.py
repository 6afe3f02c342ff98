"""When a service account's token ends, as the token says. Pure; nothing is verified here, the API server does that."""

from __future__ import annotations

from dataclasses import dataclass

import jwt

RENEWED_BY = 0.75
"""Share of its life after which a token should have been renewed: the kubelet does it after 0.8, our jobs sooner."""

_NO_TOKEN = (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError, RecursionError)


@dataclass(frozen=True, slots=True)
class TokenLife:
    """Unix seconds."""

    issued_s: float
    ends_s: float

    def overdue_s(self, now_s: float) -> float | None:
        """Seconds until it ends, once it should have been renewed; None before that."""
        due_s = self.issued_s + RENEWED_BY * (self.ends_s - self.issued_s)
        return None if now_s < due_s else max(0.0, self.ends_s - now_s)


def token_life(authorization: str) -> TokenLife | None:
    """Of `Bearer TOKEN`; None: no token, or one that does not say when it ends."""
    try:
        claims = jwt.decode(authorization.rpartition(" ")[2], options={"verify_signature": False})
        return TokenLife(float(claims["iat"]), float(claims["exp"]))
    except _NO_TOKEN:
        return None
