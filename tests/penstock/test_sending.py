import io

import pytest

from penstock import sending
from penstock.sending import Refusal
from streams.errors import UnavailableError

EVENT = b'{"model": "m"}\n'


class Kept:
    """A target that keeps what it gets, and refuses what it was told to."""

    def __init__(self, *, refuse=(), fail_at=None):
        self.lines, self.posts, self.refuse, self.fail_at = [], 0, refuse, fail_at
        self.hurried = False

    def post(self, lines):
        self.posts += 1
        if self.posts == self.fail_at:
            raise UnavailableError("away")
        self.lines += lines
        return [(k, "bad", "f", "d") for k, line in enumerate(lines) if line in self.refuse]

    def hurry(self):
        self.hurried = True


def sent(data, target, **options):
    return sending.send(sending.batches_of(io.BytesIO(data), **options), target)


def test_every_line_goes_once_and_in_batches():
    target = Kept()

    report = sent(EVENT * 2_500, target)

    assert (report.read, report.accepted, target.posts) == (2500, 2500, 3)
    assert target.lines == [EVENT] * 2500


def test_a_batch_stays_under_the_size_of_a_body():
    event = b'{"text": "%s"}\n' % (b"x" * 30_000)

    batches = list(sending.batches_of(io.BytesIO(event * 100)))

    assert max(sum(map(len, batch.lines)) for batch in batches) <= sending.BATCH_BYTES
    assert sum(len(batch.lines) for batch in batches) == 100


def test_refusals_carry_the_numbers_of_their_lines():
    bad = b'{"model": "bad"}\n'
    data = EVENT + b"\n  \n" + bad + b"no object\n" + EVENT + bad

    report = sent(data, Kept(refuse=[bad]))

    assert (report.accepted, report.by_code) == (2, {"bad": 2, "malformed_json": 1})
    assert [refusal.line for refusal in report.first_rejected] == [4, 5, 7]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_may_end_as_it_likes(end):
    report = sent(b"\xef\xbb\xbf" + EVENT + b' \t{"model": "n"}' + end, Kept())

    assert (report.accepted, report.rejected) == (2, 0)


@pytest.mark.parametrize(
    ("size", "code"),
    [(32 * 1024, None), (32 * 1024 + 1, "oversized_event"), (9_000_000, "oversized_event")],
)
def test_a_line_that_is_too_long_is_refused_without_being_kept(size, code):
    long = b"{" + b" " * (size - 2) + b"}\n"

    report = sent(EVENT + long + EVENT, Kept())

    assert report.accepted == (3 if code is None else 2)
    assert [refusal.code for refusal in report.first_rejected] == ([code] if code else [])


def test_lines_before_the_asked_one_are_left_out_and_still_numbered():
    report = sent(EVENT * 5 + b"bad\n", Kept(), from_line=4)

    assert (report.read, report.accepted) == (3, 2)
    assert report.first_rejected == [
        Refusal(6, "malformed_json", "", "a line holds one event, which begins with {")
    ]


def test_junk_does_not_pile_up_in_memory():
    batches = sending.batches_of(io.BytesIO(b"junk\n" * 10_000))

    assert max(len(batch.refused) for batch in batches) == sending.BATCH_COUNT


def test_an_error_comes_through_after_the_answers_before_it():
    heard = []

    with pytest.raises(UnavailableError):
        sending.send(
            sending.batches_of(io.BytesIO(EVENT * 5_000)),
            Kept(fail_at=3),
            in_flight=1,
            told=lambda report: heard.append(report.done_to_line),
        )

    assert heard == [1000, 2000]


def test_ctrl_c_keeps_what_is_under_way_and_says_where_it_stopped():
    def interrupted():
        yield from sending.batches_of(io.BytesIO(EVENT * 2_000))
        raise KeyboardInterrupt

    target = Kept()

    report = sending.send(interrupted(), target)

    assert (report.interrupted, report.done_to_line, target.hurried) == (True, 2000, True)


@pytest.mark.parametrize(("data", "count"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\n\nb", 3)])
def test_lines_are_counted_before_they_are_sent(data, count):
    assert sending.count_lines(io.BytesIO(data)) == count
