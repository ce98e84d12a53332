"""Secrets and signatures of Standard Webhooks (standardwebhooks.com), version v1."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret that nobody has seen: `whsec_` and 256 bits in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def message_id(installation: str, event: str) -> str:
    """The id of an event on the wire: the same whenever and to whom it is sent."""
    digest = hashlib.blake2b(f"{installation} {event}".encode(), digest_size=16)
    return f"msg_{digest.hexdigest()}"


def headers(
    signed_with: Sequence[str], *, message_id: str, at_ms: int, body: bytes
) -> Mapping[str, str]:
    """What a receiver needs to know that it was us, and when: a signature by each secret."""
    at_s = at_ms // 1000
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(
            signature(secret, message_id=message_id, at_s=at_s, body=body) for secret in signed_with
        ),
    }


def signature(secret: str, *, message_id: str, at_s: int, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of `id.seconds.body` in base64."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.digest(key, f"{message_id}.{at_s}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"
