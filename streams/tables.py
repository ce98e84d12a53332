"""The tables of the spine. Only the modules named in `architecture.md` touch them.

Ledger rows are written once and never updated. Times are int64 milliseconds UTC.
`day, pid16` identify a request (see `streams.hashing`); `*_no` columns are codes given by
`streams.codes`; `partition, log_offset, idx` are the place in the log an event came from.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from streams.db.days import BY_DAY, MADE_WITH
from streams.db.metadata import metadata

# SQLite gives a rowid only to INTEGER; PostgreSQL wants 64 bits.
Serial = BigInteger().with_variant(Integer, "sqlite")


def _place() -> list[Column[int]]:
    return [
        Column("partition", SmallInteger, nullable=False),
        Column("log_offset", BigInteger, nullable=False),
        Column("idx", SmallInteger, nullable=False),
    ]


def _request() -> list[Column[int] | Column[bytes]]:
    return [
        Column("day", SmallInteger, primary_key=True, autoincrement=False),
        Column("pid16", LargeBinary(16), primary_key=True),
        Column("model_no", SmallInteger, primary_key=True, autoincrement=False),
    ]


installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    comment="the secret of keyed hashes, the installation's id, the domain clock's last tick",
)

process = Table(
    "process",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("release", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("told", LargeBinary, nullable=False),
    comment="processes of the installation, each of which keeps its row fresh while it lives",
)

code = Table(
    "code",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("no", Integer, nullable=False),
    UniqueConstraint("kind", "scope", "no"),
    comment="small numbers for names; scope is the model's number, or 0",
    sqlite_with_rowid=False,
)

plan = Table(
    "plan",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Index("ix_plan_kind_id", "kind", "id", "seq"),
    comment="frozen instructions to intake; append-only",
)

version = Table(
    "version",
    metadata,
    Column("model_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("version_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("label", Text, nullable=False),
    Column("digest", Text),
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("model_no", "label"),
)

version_report = Table(
    "version_report",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("model_no", SmallInteger, nullable=False),
    Column("version_no", SmallInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("passed", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Index("ix_version_report_version", "model_no", "version_no", "kind", "id"),
    comment="what was found out about versions; append-only, the newest of a kind counts",
)

file = Table(
    "file",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    comment="files of versions, stored by digest beside the database",
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("models", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("last_used_ms", BigInteger),
)

position = Table(
    "position",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", SmallInteger, primary_key=True, autoincrement=False),
    Column("topic_id", Text, nullable=False),
    Column("next", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("watermark_ms", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False, server_default=text("0")),
    Column("rejected", BigInteger, nullable=False, server_default=text("0")),
    Column("updated_ms", BigInteger, nullable=False),
    comment="where each consumer stands; compare-and-swap on next, fenced",
)

gap = Table(
    "gap",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", SmallInteger, nullable=False),
    Column("from_offset", BigInteger, nullable=False),
    Column("to_offset", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    comment="records that retention took before a consumer read them",
)

answer = Table(
    "answer",
    metadata,
    *_request(),
    Column("version_no", SmallInteger, primary_key=True, autoincrement=False),
    *_place(),
    Column("event_ms", BigInteger, nullable=False),
    Column("role", SmallInteger, nullable=False),
    Column("route_no", SmallInteger, nullable=False),
    Column("arm_no", SmallInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("unit8", BigInteger),
    Column("slices", BigInteger, nullable=False),
    Column("label_code", SmallInteger, nullable=False),
    Column("value", Double),
    Column("score", Double),
    Column("level", SmallInteger, nullable=False),
    Column("latency_us", Integer),
    Column("flags", SmallInteger, nullable=False),
    Column("stratum_a", SmallInteger, nullable=False),
    Column("stratum_b", SmallInteger, nullable=False),
    Column("reference_no", SmallInteger, nullable=False),
    Index(  # expires rows whose id tells no day; the others go by the primary key
        "ix_answer_event_ms",
        "event_ms",
        sqlite_where=text("day = 0"),
        postgresql_where=text("day = 0"),
    ),
    comment="the ledger: one row per answer",
    sqlite_with_rowid=False,
    postgresql_partition_by=BY_DAY,
    listeners=MADE_WITH,
)

answer_blob = Table(
    "answer_blob",
    metadata,
    *_request(),
    Column("version_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    comment="boxes or text of an answer, until maturity",
    postgresql_partition_by=BY_DAY,
    listeners=MADE_WITH,
)

confirmation = Table(
    "confirmation",
    metadata,
    *_request(),
    Column("version_no", SmallInteger, primary_key=True, autoincrement=False),
    *_place(),
    Column("event_ms", BigInteger, nullable=False),
    comment="a proposed answer that was acted on unchanged",
    postgresql_partition_by=BY_DAY,
    listeners=MADE_WITH,
)

label = Table(
    "label",
    metadata,
    *_request(),
    Column("source_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("label_id8", LargeBinary(8), primary_key=True),
    Column("by_join", SmallInteger, nullable=False),
    Column("label_code", SmallInteger, nullable=False),
    Column("value", Double),
    Column("observed_ms", BigInteger, nullable=False),
    Column("supersedes", SmallInteger, nullable=False),
    Column("by_kind", SmallInteger, nullable=False),
    *_place(),
    comment="every label that found its request; the winner is a fold over them",
    sqlite_with_rowid=False,
    postgresql_partition_by=BY_DAY,
    listeners=MADE_WITH,
)

label_blob = Table(
    "label_blob",
    metadata,
    *_request(),
    Column("source_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("label_id8", LargeBinary(8), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    comment="boxes or text of a label, until maturity",
    postgresql_partition_by=BY_DAY,
    listeners=MADE_WITH,
)

orphan = Table(
    "orphan",
    metadata,
    *_request(),
    Column("source_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("label_id8", LargeBinary(8), primary_key=True),
    *_place(),
    Column("appended_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("hops", SmallInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Index("ix_orphan_seen_ms", "seen_ms"),
    comment="labels whose request has not come; seen_ms is the wall clock's",
)

join_row = Table(
    "join_row",
    metadata,
    Column("join16", LargeBinary(16), primary_key=True),
    Column("join_day", SmallInteger, nullable=False),
    Column("model_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("day", SmallInteger, primary_key=True, autoincrement=False),
    Column("pid16", LargeBinary(16), primary_key=True),
    Index("ix_join_row_request", "day", "pid16", "model_no"),
    Index(  # what must stay of a day of labels that is dropped
        "ix_join_row_join_day",
        "join_day",
        sqlite_where=text("join_day > 0"),
        postgresql_where=text("join_day > 0"),
    ),
    comment="requests by what late labels know, kept where it differs from the id",
)

report = Table(
    "report",
    metadata,
    Column("model_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("feedback_id8", LargeBinary(8), primary_key=True),
    Column("unit8", BigInteger, nullable=False),
    Column("route_no", SmallInteger, nullable=False),
    Column("name_no", SmallInteger, nullable=False),
    Column("value", Double),
    Column("label_code", SmallInteger, nullable=False),
    Column("event_ms", BigInteger, nullable=False),
    Column("supersedes8", LargeBinary(8)),
    *_place(),
    Index("ix_report_supersedes8", "model_no", "supersedes8"),
    comment="feedback by unit and route",
)

LEDGER = (answer, answer_blob, confirmation, label, label_blob)
"""Looked up by request alone, and so kept by its day; a join row is looked up by its join key, an
orphan by when it was seen, and a report has no day.
"""

assigned = Table(
    "assigned",
    metadata,
    Column("instance16", LargeBinary(16), primary_key=True),
    Column("minute_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("model_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("route_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("route_version", Integer, primary_key=True, autoincrement=False),
    Column("arm_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("assigned", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    comment="cumulative counts by client process and minute, merged by maximum",
)

counter = Table(
    "counter",
    metadata,
    Column("what", Text, primary_key=True),
    Column("pane_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("partition", SmallInteger, primary_key=True, autoincrement=False),
    Column("cells", LargeBinary, nullable=False),
    Column("due_ms", BigInteger),
    Column("frozen", SmallInteger, nullable=False, server_default=text("0")),
    Index(
        "ix_counter_due",
        "partition",
        "due_ms",
        sqlite_where=text("frozen = 0 AND due_ms IS NOT NULL"),
        postgresql_where=text("frozen = 0 AND due_ms IS NOT NULL"),
    ),
    comment="dense int64 vectors; a pane with due_ms freezes when the watermark passes it",
)

counter_total = Table(
    "counter_total",
    metadata,
    Column("what", Text, primary_key=True),
    Column("partition", SmallInteger, primary_key=True, autoincrement=False),
    Column("cells", LargeBinary, nullable=False),
    Column("panes", BigInteger, nullable=False),
    comment="the sum of a partition's frozen panes",
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("partition", SmallInteger, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("idx", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("key_id", Text),
    Column("at_ms", BigInteger, nullable=False),
    Column("retried_ms", BigInteger),
    UniqueConstraint("topic", "partition", "log_offset", "idx"),
    Index("ix_dead_letter_at_ms", "at_ms"),
    comment="what could not be taken, with its place and the reason",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("partition", SmallInteger),
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("claimed_by", Text),
    Column("claimed_until_ms", BigInteger, nullable=False, server_default=text("0")),
    comment="messages to send; deleted after the log has acknowledged them",
)

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    comment="messages a consumer has handled",
)

kept_answer = Table(
    "kept_answer",
    metadata,
    Column("asker", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("asked", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index("ix_kept_answer_expires_ms", "expires_ms"),
    comment="answers to requests that changed something, for who asks again with the same key",
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("models", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("secret_before", Text, nullable=False),
    Column("before_until_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("ended_ms", BigInteger),
    Column("ended_why", Text, nullable=False),
    Column("took_ms", BigInteger),
    Column("failing_ms", BigInteger),
    Column("failure", Text, nullable=False),
    comment="who is told of decisions by HTTP; the secret signs, so it stands here as it is",
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("webhook", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_ms", BigInteger),
    Column("tried_ms", BigInteger),
    Column("status", SmallInteger),
    Column("said", Text, nullable=False),
    UniqueConstraint("webhook", "message_id"),
    Index(
        "ix_webhook_delivery_due_ms",
        "due_ms",
        sqlite_where=text("due_ms IS NOT NULL"),
        postgresql_where=text("due_ms IS NOT NULL"),
    ),
    comment="what each webhook was told, or is to be: again at due_ms",
)

mlflow_alias = Table(
    "mlflow_alias",
    metadata,
    Column("model", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("stands_for", Text),
    comment="aliases at an MLflow server that follow who has a route",
)
