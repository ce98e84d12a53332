"""What could not be taken is kept with its place and reason."""

from streams import deadletters
from streams.arrivals import DeadLetter
from streams.db.engine import reading, writing


def letter(offset=0, code="orphan", *, at_ms=10, detail="why", raw=b"\xff{"):
    return DeadLetter(1, offset, 2, code, "field", detail, raw, "key", at_ms)


def save(store, *letters):
    with writing(store) as connection:
        deadletters.save(connection, "events", letters)


def page(store, **where):
    with reading(store) as connection:
        return deadletters.page(connection, **where)


def test_a_letter_keeps_its_place_its_reason_and_its_bytes(store):
    save(store, letter())

    (kept,) = page(store)
    assert (kept.topic, kept.partition, kept.log_offset, kept.idx) == ("events", 1, 0, 2)
    assert (kept.code, kept.field, kept.detail) == ("orphan", "field", "why")
    assert (kept.raw, kept.key_id, kept.at_ms, kept.retried_ms) == (b"\xff{", "key", 10, None)


def test_a_place_keeps_its_first_letter(store):
    save(store, letter(code="first"))
    save(store, letter(code="second"))

    assert [kept.code for kept in page(store)] == ["first"]


def test_nul_in_a_reason_is_written_out(store):
    save(store, letter(detail="a\0b"))

    assert page(store)[0].detail == "a\\0b"


def test_pages_follow_each_other(store):
    save(store, *(letter(offset) for offset in range(5)))

    first = page(store, limit=3)
    second = page(store, after_id=first[-1].id, limit=3)

    assert [kept.log_offset for kept in first + second] == [0, 1, 2, 3, 4]


def test_letters_are_counted_by_code_marked_when_retried_and_expire(store):
    save(store, letter(0, "a"), letter(1, "a"), letter(2, "b", at_ms=99))

    with writing(store) as connection:
        assert deadletters.by_code(connection) == {"a": 2, "b": 1}
        deadletters.mark_retried(connection, [kept.id for kept in page(store)[:1]], 55)
        assert deadletters.expire(connection, before_ms=50) == 2
    assert [kept.code for kept in page(store)] == ["b"]
