"""One attempt: signed, sent, and what came of it."""

from collections.abc import Sequence

from msgspec import Struct

from penstock.installed import release
from penstock.outbound.fetcher import Fetcher
from penstock.webhooks import signing
from penstock.webhooks.telling import CONTENT
from streams.errors import InputError, UnavailableError

GONE = 410


class Outcome(Struct, frozen=True):
    """What came of an attempt; `status` is None where nothing was answered."""

    status: int | None
    said: str = ""  # why it was not taken
    retry_after: str = ""

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == GONE


def attempt(
    fetcher: Fetcher,
    url: str,
    *,
    signed_with: Sequence[str],
    message_id: str,
    body: bytes,
    now_ms: int,
) -> Outcome:
    """The receiver was asked to take `body`, once."""
    signed = signing.headers(signed_with, message_id=message_id, at_ms=now_ms, body=body)
    given = {"Content-Type": CONTENT, "User-Agent": f"penstock/{release()}", **signed}
    try:
        answer = fetcher.post(url, headers=given, body=body)
    except (InputError, UnavailableError) as error:
        said = f"{error.message}: {error.why}" if error.why else error.message
        return Outcome(None, said)
    if answer.is_success:
        return Outcome(answer.status)
    said = f"it answered {answer.status}"
    if 300 <= answer.status < 400:
        said += ", and redirects are not followed"
    elif answer.begins:
        said += f": {answer.begins}"
    return Outcome(answer.status, said, answer.headers.get("retry-after", ""))
