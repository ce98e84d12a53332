"""The tables of rollouts."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text

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
