"""Messages between rooms: a closed set, each named by its type.

Every message carries `id`, derived from its cause, by which consumers know it again, and
`at_ms`, the domain time of its cause. Rooms add their types here, never anywhere else.
"""

import msgspec


class DeadLettered(msgspec.Struct, tag="dead-lettered", frozen=True):
    """Intake could not take some events of one log record; the letters are in the store."""

    id: str
    at_ms: int
    topic: str
    partition: int
    offset: int
    codes: dict[str, int]  # how many of each code


Message = DeadLettered

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """One message as JSON."""
    return _encoder.encode(message)


def decode(body: bytes) -> Message:
    """The message in `body`; raises msgspec.DecodeError for anything outside the closed set."""
    return _decoder.decode(body)
