"""The tables of rollouts."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
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

from streams.db.metadata import metadata

route_table = Table(
    "route_table",
    metadata,
    Column("model", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("replaced_by", Integer),
    Index(
        "ix_route_table_newest",
        "model",
        "route",
        unique=True,
        sqlite_where=text("replaced_by IS NULL"),
        postgresql_where=text("replaced_by IS NULL"),
    ),
    comment="route tables as they were published; of each route one is not replaced",
)

rollout = Table(
    "rollout",
    metadata,
    Column("name", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    comment="rollouts as they were created; where one stands is a fold of its decisions",
)

rollout_live = Table(
    "rollout_live",
    metadata,
    Column("model", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("rollout", Text, nullable=False),
    comment="which rollout has a route, from its start to its end",
)

rollout_revision = Table(
    "rollout_revision",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("no", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    comment="specs as they were written; which one holds stands in the decisions",
)

decision = Table(
    "decision",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("begins_epoch", Integer),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("begins_epoch"),
    comment="decisions about rollouts, a chain each: append-only",
)

rollout_look = Table(
    "rollout_look",
    metadata,
    Column("rollout", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("fresh_ms", BigInteger),
    Column("body", LargeBinary, nullable=False),
    comment="what the judge looked at and found: seq 0 the newest look, n what decision n saw",
)

route_reader = Table(
    "route_reader",
    metadata,
    Column("model", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("reader", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    comment="which route table each service decides by, as far as it said",
)

unit_partial = Table(
    "unit_partial",
    metadata,
    Column("epoch", Integer, nullable=False),
    Column("bucket_ms", BigInteger, nullable=False),
    Column("unit8", BigInteger, nullable=False),
    Column("arm", SmallInteger, nullable=False),
    Column("first_ms", BigInteger),
    Column("slices", BigInteger),
    Column("cells", LargeBinary, nullable=False),
    Index("ix_unit_partial_of_unit", "epoch", "unit8", "bucket_ms"),
    Index("ix_unit_partial_by_time", "epoch", "bucket_ms"),
    comment="what events say of sticky units: rows that add, until their exposure is over",
)

unit_enrolled = Table(
    "unit_enrolled",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("unit8", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket_ms", BigInteger, nullable=False),
    Column("arm", SmallInteger, nullable=False),
    Column("slices", BigInteger, nullable=False),
    Index("ix_unit_enrolled_by_time", "epoch", "bucket_ms"),
    comment="sticky units that an epoch compares, from when they were first seen",
)

unit_paired = Table(
    "unit_paired",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("unit8", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket_ms", BigInteger, nullable=False),
    Column("arm", SmallInteger, nullable=False),
    Column("slices", BigInteger, nullable=False),
    Index("ix_unit_paired_by_time", "epoch", "bucket_ms"),
    comment="sticky units of which an epoch compares pairs, from when they had the first",
)

unit_bad = Table(
    "unit_bad",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("metric", SmallInteger, primary_key=True, autoincrement=False),
    Column("unit8", BigInteger, primary_key=True, autoincrement=False),
    Column("counted", SmallInteger, nullable=False),
    comment="sticky units that had a bad event of a metric with a fast path",
)

unit_cursor = Table(
    "unit_cursor",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("what", Text, primary_key=True),
    Column("next_ms", BigInteger, nullable=False),
    comment="up to which enrolment each period of a sticky epoch's metrics is counted",
)

measured = Table(
    "measured",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("monitor", Text, primary_key=True),
    Column("to_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    comment="the newest closed window that each monitor measured",
)

review = Table(
    "review",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("rollout", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("prediction_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("probability", Double, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("answer", LargeBinary),
    Column("state", Text, nullable=False),
    Column("by", Text),
    Column("reason", Text),
    Column("label", Text),
    Column("closed_ms", BigInteger),
    CheckConstraint("probability > 0 AND probability <= 1", name="probability"),
    CheckConstraint("(state = 'open') = (closed_ms IS NULL)", name="closed"),
    Index("ix_review_state", "state", "deadline_ms", "id"),
    Index("ix_review_epoch", "epoch", "version", "state"),
    comment="proposed answers that people were asked about, and what the first of them said",
)
