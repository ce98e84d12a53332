"""Tables to events: what a map may say, what a row may hold, and that ids are idempotent."""

import csv
import gzip
from datetime import UTC, datetime

import msgspec
import pyarrow
import pytest
from pyarrow import parquet

from penstock.importing import Import, read_map
from penstock.mapping import Map, Mapper, RowError, checked
from streams.errors import InputError

LABELS = {
    "model": "spam",
    "columns": {"prediction_id": "id", "label": "truth", "time": "at"},
    "fixed": {"source": "outcome"},
}
ROW = {"id": "p-1", "truth": "ham", "at": "2026-11-20T10:00:00Z"}
AT_MS = 1_795_168_800_000


def a_map(base=LABELS, **changed):
    return msgspec.convert({**base, **changed}, Map)


def label(row=None, **changed):
    return Mapper(a_map(**changed), "labels").event({**ROW, **(row or {})})


def imported(path, mapping, kind="labels", **options):
    known = {"lateness_ms": 120_000, "refuse_before_ms": None}
    source = Import(path, mapping, kind, **(known | options))
    batches = list(source.batches())
    lines = [msgspec.json.decode(line) for batch in batches for line in batch.lines]
    refused = [refusal for batch in batches for refusal in batch.refused]
    return lines, sorted((r.line, r.field, r.code) for r in refused), source


def table(path, *rows, **options):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, **options).writerows(rows)
    return path


# --- ids


def test_the_same_row_gets_the_same_id():
    assert label() == label()


@pytest.mark.parametrize("row", [{"truth": "spam"}, {"at": "2026-11-20T10:00:01Z"}, {"id": "p-2"}])
def test_a_row_that_says_something_else_gets_another_id(row):
    assert label(row)["label_id"] != label()["label_id"]


def test_a_correction_supersedes_and_has_an_id_of_its_own():
    corrected = label(corrects=True)

    assert corrected["supersedes"]
    assert corrected["label_id"] != label()["label_id"]
    assert corrected == label(corrects=True)


def test_ids_of_the_file_are_kept():
    columns = LABELS["columns"] | {"label_id": "lid", "supersedes": "old"}

    event = label({"lid": "L1", "old": "L0"}, columns=columns)

    assert (event["label_id"], event["supersedes"]) == ("L1", "L0")


# --- times


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ({}, "2026-11-20T10:00:00Z"),
        ({}, "2026-11-20 12:00:00+02:00"),
        ({"timezone": "Europe/Berlin"}, "2026-11-20 11:00"),
        ({"format": "s"}, "1795168800"),
        ({"format": "s"}, "1795168800.0"),
        ({"format": "ms"}, "1795168800000"),
        ({"format": "%d.%m.%Y %H:%M", "timezone": "UTC"}, "20.11.2026 10:00"),
        ({"format": "%d.%m.%Y %H:%M %z"}, "20.11.2026 09:00 -0100"),
        ({"timezone": "UTC"}, datetime(2026, 11, 20, 10)),  # noqa: DTZ001 - the zone is the map's
        ({}, datetime(2026, 11, 20, 10, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_the_map_says(time, text):
    assert label({"at": text}, time=time)["time"] == AT_MS


@pytest.mark.parametrize(
    ("time", "text"),
    [({}, "2026-11-20 10:00"), ({}, "yesterday"), ({"format": "s"}, "soon"), ({}, "")],
)
def test_a_time_that_cannot_be_read_names_its_column(time, text):
    with pytest.raises(RowError) as caught:
        label({"at": text}, time=time)

    assert caught.value.column == "at"


# --- values

PREDICTIONS = {
    "model": "spam",
    "columns": {
        "prediction_id": "id", "version": "v", "time": "at", "output.label": "cls",
        "output.score": "p", "output.scores.spam": "p_spam", "tags.country": "land",
    },
    "features": {
        "amount": {"type": "number"},
        "zip": {"type": "category"},
        "night": {"type": "boolean", "column": "is_night"},
    },
}  # fmt: skip
CELLS = {
    "id": "p-1", "v": "v1", "at": "2026-11-20T10:00:00Z", "cls": "spam", "p": "0.9",
    "p_spam": "0.9", "land": "BR", "amount": "12.5", "zip": "01234", "is_night": "true",
}  # fmt: skip


def test_a_prediction_is_built_from_its_columns_by_declared_types():
    event = Mapper(a_map(PREDICTIONS), "predictions").event(CELLS)

    assert event == {
        "type": "io.penstock.prediction.v1",
        "model": "spam",
        "prediction_id": "p-1",
        "version": "v1",
        "time": AT_MS,
        "output": {"label": "spam", "score": 0.9, "scores": {"spam": 0.9}},
        "tags": {"country": "BR"},
        "features": {"amount": 12.5, "zip": "01234", "night": True},
    }


def test_a_missing_cell_is_a_null_feature_and_no_field_elsewhere():
    mapping = a_map(PREDICTIONS, missing=["", "NA"])

    event = Mapper(mapping, "predictions").event(CELLS | {"amount": "NA", "p": " "})

    assert event["features"]["amount"] is None
    assert "score" not in event["output"]


@pytest.mark.parametrize(
    ("cell", "value"), [("1.234,5", 1234.5), ("0,9", 0.9), ("-1,5e3", -1500.0)]
)
def test_a_decimal_comma_is_read(cell, value):
    mapping = a_map(PREDICTIONS, csv={"decimal": ","})

    event = Mapper(mapping, "predictions").event(
        CELLS | {"amount": cell, "p": "0,9", "p_spam": "0,9"}
    )

    assert event["features"]["amount"] == value


@pytest.mark.parametrize(
    ("column", "cell"),
    [("amount", "many"), ("amount", "nan"), ("amount", "inf"), ("is_night", "maybe"), ("p", "x")],
)
def test_a_cell_of_the_wrong_type_names_its_column(column, cell):
    with pytest.raises(RowError) as caught:
        Mapper(a_map(PREDICTIONS), "predictions").event(CELLS | {column: cell})

    assert (caught.value.code, caught.value.column) == ("wrong_type", column)


# --- maps


@pytest.mark.parametrize(
    ("kind", "base", "changed", "field"),
    [
        ("labels", LABELS, {"fixed": {"sorce": "outcome"}}, "fixed.sorce"),
        ("labels", LABELS, {"columns": {"prediction_id": "id", "label": "t"}}, "columns.time"),
        ("labels", LABELS, {"columns": {"prediction_id": "id", "time": "t"}}, "columns.label"),
        ("labels", LABELS, {"fixed": {"label": "ham"}}, "fixed.label"),
        ("labels", LABELS, {"fixed": {"audit": "x"}}, "fixed.audit"),
        ("labels", LABELS, {"features": {"a": {"type": "number"}}}, "features"),
        ("predictions", PREDICTIONS, {"fixed": {"output.lable": "x"}}, "fixed.output.lable"),
    ],
)
def test_a_map_that_cannot_work_names_its_field(kind, base, changed, field):
    with pytest.raises(InputError) as caught:
        checked(a_map(base, **changed), kind)

    assert caught.value.field == field


def test_a_time_zone_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"time\.timezone"):
        label(time={"timezone": "Europe/Berln"})


def test_a_map_is_yaml_whose_faults_are_named_by_line(tmp_path):
    (tmp_path / "m.yaml").write_text("model: spam\ncolums: {time: at}\n")

    with pytest.raises(InputError, match=r"m\.yaml, line 2: colums"):
        read_map(tmp_path / "m.yaml")


# --- files


def test_bad_rows_are_named_by_line_and_column_and_the_rest_goes_on(tmp_path):
    path = table(
        tmp_path / "l.csv",
        ["id", "truth", "at", "note"],
        ["p-1", "ham", ROW["at"], "two\nlines"],
        ["p 2", "ham", ROW["at"], ""],
        ["p-3", "", ROW["at"], ""],
        ["p-4", "ham", "never", ""],
        ["p-5", "ham"],
        [],
        ["p-6", "spam", ROW["at"], ""],
    )

    lines, refused, source = imported(path, a_map())

    assert [line["prediction_id"] for line in lines] == ["p-1", "p-6"]
    assert refused == [
        (4, "id", "bad_id"),
        (5, "truth", "no_truth"),
        (6, "at", "wrong_type"),
        (7, "", "malformed_csv"),
    ]
    assert [event["prediction_id"] for event in source.preview] == ["p-1", "p 2", "p-6"]


def test_delimiter_encoding_and_gzip_are_read(tmp_path):
    text = "\ufeffid;truth;at\np-1;Müll;2026-11-20T10:00:00Z\n"
    (tmp_path / "l.csv").write_bytes(gzip.compress(text.encode()))

    lines, refused, _ = imported(tmp_path / "l.csv", a_map(csv={"delimiter": ";"}))

    assert (lines[0]["label"], refused) == ("Müll", [])


def test_a_cell_in_another_encoding_is_refused_by_line(tmp_path):
    (tmp_path / "l.csv").write_bytes(
        b"id,truth,at\np-1,M\xfcll,2026-11-20T10:00:00Z\np-2,ham,2026-11-20T10:00:00Z\n"
    )

    lines, refused, _ = imported(tmp_path / "l.csv", a_map())

    assert ([line["prediction_id"] for line in lines], refused) == (
        ["p-2"],
        [(2, "truth", "bad_encoding")],
    )


@pytest.mark.parametrize("header", [["id", "truth"], ["id", "id", "truth", "at"], []])
def test_a_header_without_a_mapped_column_is_an_error(tmp_path, header):
    path = table(tmp_path / "l.csv", header)

    with pytest.raises(InputError, match="header"):
        imported(path, a_map())


def test_parquet_rows_are_read_by_their_types(tmp_path):
    path = tmp_path / "l.parquet"
    columns = {
        "id": ["p-1", "p-2", None],
        "truth": ["ham", None, "spam"],
        "at": pyarrow.array([AT_MS, AT_MS, AT_MS], pyarrow.timestamp("ms", tz="UTC")),
        "other": [[1], [2], [3]],
    }
    parquet.write_table(pyarrow.table(columns), path)

    lines, refused, source = imported(path, a_map())

    assert [(line["prediction_id"], line["time"]) for line in lines] == [("p-1", AT_MS)]
    assert [(line, code) for line, _, code in refused] == [(2, "no_truth"), (3, "no_target")]
    assert source.rows() == 3


def test_a_file_that_only_looks_like_parquet_is_an_error(tmp_path):
    (tmp_path / "l.parquet").write_bytes(b"PAR1 nothing")

    with pytest.raises(InputError, match="Parquet"):
        imported(tmp_path / "l.parquet", a_map())


def test_old_predictions_are_refused_where_they_would_count_as_late(tmp_path):
    path = table(tmp_path / "p.csv", list(CELLS), list(CELLS.values()))

    lines, refused, _ = imported(
        path, a_map(PREDICTIONS), "predictions", refuse_before_ms=AT_MS + 1
    )

    assert (lines, refused) == ([], [(2, "at", "too_old_for_live")])


def test_rows_out_of_order_by_more_than_the_lateness_are_counted(tmp_path):
    times = ["2026-11-20T10:00:00Z", "2026-11-20T10:05:00Z", "2026-11-20T10:04:00Z", ROW["at"]]
    path = table(tmp_path / "l.csv", ["id", "truth", "at"], *[["p", "ham", t] for t in times])

    _, _, source = imported(path, a_map())

    assert (source.late, source.newest_ms) == (1, AT_MS + 300_000)
