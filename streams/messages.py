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


class RolloutDecided(msgspec.Struct, tag="rollout-decided", frozen=True, kw_only=True):
    """Decision `seq` about a rollout; its record has the hash, and says more."""

    id: str
    at_ms: int
    rollout: str
    model: str
    route: str
    seq: int
    signal: str
    before: str = msgspec.field(name="from")
    after: str = msgspec.field(name="to")
    who: str | None  # None: nobody, the evidence or a time
    because: tuple[str, ...]
    hash: str


class RouteChanged(msgspec.Struct, tag="route-changed", frozen=True, kw_only=True):
    """A route has a new table: of two, the one of the higher (generation, version) is newer."""

    id: str
    at_ms: int
    rollout: str
    model: str
    route: str
    generation: int
    version: int


class ReviewClosed(msgspec.Struct, tag="review-closed", frozen=True, kw_only=True):
    """What became of a proposed answer that people were asked about.

    Args:
        probability: with which the answer was chosen to be looked at.
        state: confirmed, refused, timed-out or withdrawn.
        who: answered; None: nobody did.
        label: what would have been right, as far as who refused said.
    """

    id: str
    at_ms: int
    rollout: str
    model: str
    prediction_id: str
    version: str
    probability: float
    state: str
    who: str | None
    label: str | None


class Head(msgspec.Struct, frozen=True):
    """The newest decision about a rollout, and its hash."""

    seq: int
    hash: str


class ChainHeads(msgspec.Struct, tag="chain-heads", frozen=True, kw_only=True):
    """Where the chain of every rollout's decisions stood at the beginning of a day.

    Who keeps it can show later that nothing before it was changed.
    """

    id: str
    at_ms: int
    heads: dict[str, Head]


class WindowMeasured(msgspec.Struct, tag="window-measured", frozen=True, kw_only=True):
    """A monitor has closed a window of a model's traffic, or of one version's.

    Args:
        version: whose answers; "": the requests, whoever answers.
        n: requests in the window.
        drift: the greatest drift score as a share of its threshold: above 1 it alarms. None where
            the window was too thin for one.
        coverage: share of the requests that were measured.
    """

    id: str
    at_ms: int
    model: str
    monitor: str
    from_ms: int
    to_ms: int
    n: int
    version: str = ""
    drift: float | None = None
    coverage: float | None = None


Message = DeadLettered | RolloutDecided | RouteChanged | ReviewClosed | ChainHeads | WindowMeasured

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """One message as JSON."""
    return _encoder.encode(message)


def decode(body: bytes) -> Message:
    """The message in `body`; raises msgspec.DecodeError for anything outside the closed set."""
    return _decoder.decode(body)
