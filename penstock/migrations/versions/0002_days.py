"""The ledger in partitions of a day each, on PostgreSQL; its rows are kept.

A row is copied once, so the database needs room for the ledger twice until this has ended.
"""

from alembic import op
from sqlalchemy import Connection, text

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

REQUEST = 'day, pid16, model_no'
TABLES = {
    'answer': (f'{REQUEST}, version_no', 'the ledger: one row per answer'),
    'answer_blob': (f'{REQUEST}, version_no', 'boxes or text of an answer, until maturity'),
    'confirmation': (f'{REQUEST}, version_no', 'a proposed answer that was acted on unchanged'),
    'label': (f'{REQUEST}, source_no, label_id8', 'every label that found its request; the winner is a fold over them'),
    'label_blob': (f'{REQUEST}, source_no, label_id8', 'boxes or text of a label, until maturity'),
}
# A day outside of what is believed has no partition of its own; its rows lie among the others.
BEFORE, AHEAD = 400, 3


def upgrade() -> None:
    connection = op.get_bind()
    dated = text('join_day > 0')
    op.create_index('ix_join_row_join_day', 'join_row', ['join_day'], sqlite_where=dated, postgresql_where=dated)
    if connection.dialect.name != 'postgresql':
        return
    op.execute('ALTER INDEX ix_answer_event_ms RENAME TO ix_answer_event_ms_whole')
    today = connection.execute(text("SELECT CURRENT_DATE - DATE '2020-01-01'")).scalar_one()
    for name, (key, comment) in TABLES.items():
        whole = f'{name}_whole'
        op.execute(f'ALTER TABLE {name} RENAME TO {whole}')
        op.execute(f'ALTER INDEX pk_{name} RENAME TO pk_{whole}')
        op.execute(f'CREATE TABLE {name} (LIKE {whole} INCLUDING DEFAULTS INCLUDING STORAGE) PARTITION BY LIST (day)')
        op.execute(f'ALTER TABLE {name} ADD CONSTRAINT pk_{name} PRIMARY KEY ({key})')
        op.execute(f"COMMENT ON TABLE {name} IS '{comment}'")
        if name == 'answer':
            op.create_index('ix_answer_event_ms', 'answer', ['event_ms'], postgresql_where=text('day = 0'))
        days = [day for day in _days(connection, whole) if today - BEFORE <= day <= today + AHEAD]
        for day in (0, *days):
            own = _name(connection, name, day) if day else f'{name}_undated'
            op.execute(f'CREATE TABLE {own} (LIKE {whole} INCLUDING DEFAULTS INCLUDING STORAGE)')
            op.execute(f'INSERT INTO {own} SELECT * FROM {whole} WHERE day = {day} ORDER BY {key}')
            op.execute(f'ALTER TABLE {name} ATTACH PARTITION {own} FOR VALUES IN ({day})')
        op.execute(f'CREATE TABLE {name}_other PARTITION OF {name} DEFAULT')
        moved = ', '.join(map(str, (0, *days)))
        op.execute(f'INSERT INTO {name} SELECT * FROM {whole} WHERE day NOT IN ({moved}) ORDER BY {key}')
        op.execute(f'DROP TABLE {whole}')


def _days(connection: Connection, table: str) -> list[int]:
    """The days that the table has, found by leaps along its key."""
    found = connection.execute(text(
        f'WITH RECURSIVE d (day) AS (SELECT min(day) FROM {table} WHERE day > 0 UNION ALL'
        f' SELECT (SELECT min(t.day) FROM {table} t WHERE t.day > d.day) FROM d WHERE d.day IS NOT NULL)'
        ' SELECT day FROM d WHERE day IS NOT NULL'
    ))
    return list(found.scalars())


def _name(connection: Connection, table: str, day: int) -> str:
    date = text("SELECT to_char(DATE '2020-01-01' + :day, 'YYYYMMDD')")
    return f'{table}_{connection.execute(date, {"day": day}).scalar_one()}'
