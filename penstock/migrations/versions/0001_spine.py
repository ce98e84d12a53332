"""The spine: ledger, labels, counters, positions, plans, codes, keys, outbox and inbox."""

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('answer',
    sa.Column('day', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('pid16', sa.LargeBinary(length=16), nullable=False),
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('version_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('partition', sa.SmallInteger(), nullable=False),
    sa.Column('log_offset', sa.BigInteger(), nullable=False),
    sa.Column('idx', sa.SmallInteger(), nullable=False),
    sa.Column('event_ms', sa.BigInteger(), nullable=False),
    sa.Column('role', sa.SmallInteger(), nullable=False),
    sa.Column('route_no', sa.SmallInteger(), nullable=False),
    sa.Column('arm_no', sa.SmallInteger(), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('unit8', sa.BigInteger(), nullable=True),
    sa.Column('slices', sa.BigInteger(), nullable=False),
    sa.Column('label_code', sa.SmallInteger(), nullable=False),
    sa.Column('value', sa.Double(), nullable=True),
    sa.Column('score', sa.Double(), nullable=True),
    sa.Column('level', sa.SmallInteger(), nullable=False),
    sa.Column('latency_us', sa.Integer(), nullable=True),
    sa.Column('flags', sa.SmallInteger(), nullable=False),
    sa.Column('stratum_a', sa.SmallInteger(), nullable=False),
    sa.Column('stratum_b', sa.SmallInteger(), nullable=False),
    sa.Column('reference_no', sa.SmallInteger(), nullable=False),
    sa.PrimaryKeyConstraint('day', 'pid16', 'model_no', 'version_no', name=op.f('pk_answer')),
    comment='the ledger: one row per answer',
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('answer', schema=None) as batch_op:
        batch_op.create_index('ix_answer_event_ms', ['event_ms'], unique=False, sqlite_where=sa.text('day = 0'), postgresql_where=sa.text('day = 0'))

    op.create_table('answer_blob',
    sa.Column('day', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('pid16', sa.LargeBinary(length=16), nullable=False),
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('version_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('day', 'pid16', 'model_no', 'version_no', name=op.f('pk_answer_blob')),
    comment='boxes or text of an answer, until maturity'
    )
    op.create_table('api_key',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('secret_sha256', sa.LargeBinary(length=32), nullable=False),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('models', sa.Text(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('expires_ms', sa.BigInteger(), nullable=True),
    sa.Column('revoked_ms', sa.BigInteger(), nullable=True),
    sa.Column('last_used_ms', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_api_key'))
    )
    op.create_table('assigned',
    sa.Column('instance16', sa.LargeBinary(length=16), nullable=False),
    sa.Column('minute_ms', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('route_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('route_version', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('arm_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('assigned', sa.BigInteger(), nullable=False),
    sa.Column('answered', sa.BigInteger(), nullable=False),
    sa.Column('dropped', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('instance16', 'minute_ms', 'model_no', 'route_no', 'route_version', 'arm_no', name=op.f('pk_assigned')),
    comment='cumulative counts by client process and minute, merged by maximum'
    )
    op.create_table('code',
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('scope', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('no', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('kind', 'scope', 'name', name=op.f('pk_code')),
    sa.UniqueConstraint('kind', 'scope', 'no', name=op.f('uq_code_kind_scope_no')),
    comment="small numbers for names; scope is the model's number, or 0",
    sqlite_with_rowid=False
    )
    op.create_table('confirmation',
    sa.Column('day', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('pid16', sa.LargeBinary(length=16), nullable=False),
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('version_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('partition', sa.SmallInteger(), nullable=False),
    sa.Column('log_offset', sa.BigInteger(), nullable=False),
    sa.Column('idx', sa.SmallInteger(), nullable=False),
    sa.Column('event_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('day', 'pid16', 'model_no', 'version_no', name=op.f('pk_confirmation')),
    comment='a proposed answer that was acted on unchanged'
    )
    op.create_table('counter',
    sa.Column('what', sa.Text(), nullable=False),
    sa.Column('pane_ms', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('partition', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('cells', sa.LargeBinary(), nullable=False),
    sa.Column('due_ms', sa.BigInteger(), nullable=True),
    sa.Column('frozen', sa.SmallInteger(), server_default=sa.text('0'), nullable=False),
    sa.PrimaryKeyConstraint('what', 'pane_ms', 'partition', name=op.f('pk_counter')),
    comment='dense int64 vectors; a pane with due_ms freezes when the watermark passes it'
    )
    with op.batch_alter_table('counter', schema=None) as batch_op:
        batch_op.create_index('ix_counter_due', ['partition', 'due_ms'], unique=False, sqlite_where=sa.text('frozen = 0 AND due_ms IS NOT NULL'), postgresql_where=sa.text('frozen = 0 AND due_ms IS NOT NULL'))

    op.create_table('counter_total',
    sa.Column('what', sa.Text(), nullable=False),
    sa.Column('partition', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('cells', sa.LargeBinary(), nullable=False),
    sa.Column('panes', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('what', 'partition', name=op.f('pk_counter_total')),
    comment="the sum of a partition's frozen panes"
    )
    op.create_table('dead_letter',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('topic', sa.Text(), nullable=False),
    sa.Column('partition', sa.SmallInteger(), nullable=False),
    sa.Column('log_offset', sa.BigInteger(), nullable=False),
    sa.Column('idx', sa.Integer(), nullable=False),
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('field', sa.Text(), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('raw', sa.LargeBinary(), nullable=False),
    sa.Column('key_id', sa.Text(), nullable=True),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('retried_ms', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_dead_letter')),
    sa.UniqueConstraint('topic', 'partition', 'log_offset', 'idx', name=op.f('uq_dead_letter_topic_partition_log_offset_idx')),
    comment='what could not be taken, with its place and the reason'
    )
    with op.batch_alter_table('dead_letter', schema=None) as batch_op:
        batch_op.create_index('ix_dead_letter_at_ms', ['at_ms'], unique=False)

    op.create_table('file',
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_file')),
    comment='files of versions, stored by digest beside the database'
    )
    op.create_table('gap',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('consumer', sa.Text(), nullable=False),
    sa.Column('topic', sa.Text(), nullable=False),
    sa.Column('partition', sa.SmallInteger(), nullable=False),
    sa.Column('from_offset', sa.BigInteger(), nullable=False),
    sa.Column('to_offset', sa.BigInteger(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_gap')),
    comment='records that retention took before a consumer read them'
    )
    op.create_table('inbox',
    sa.Column('consumer', sa.Text(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('consumer', 'message_id', name=op.f('pk_inbox')),
    comment='messages a consumer has handled'
    )
    op.create_table('installation',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('value', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_installation')),
    comment="the secret of keyed hashes, the installation's id, the domain clock's last tick"
    )
    op.create_table('join_row',
    sa.Column('join16', sa.LargeBinary(length=16), nullable=False),
    sa.Column('join_day', sa.SmallInteger(), nullable=False),
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('day', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('pid16', sa.LargeBinary(length=16), nullable=False),
    sa.PrimaryKeyConstraint('join16', 'model_no', 'day', 'pid16', name=op.f('pk_join_row')),
    comment='requests by what late labels know, kept where it differs from the id'
    )
    with op.batch_alter_table('join_row', schema=None) as batch_op:
        batch_op.create_index('ix_join_row_request', ['day', 'pid16', 'model_no'], unique=False)

    op.create_table('label',
    sa.Column('day', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('pid16', sa.LargeBinary(length=16), nullable=False),
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('source_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('label_id8', sa.LargeBinary(length=8), nullable=False),
    sa.Column('by_join', sa.SmallInteger(), nullable=False),
    sa.Column('label_code', sa.SmallInteger(), nullable=False),
    sa.Column('value', sa.Double(), nullable=True),
    sa.Column('observed_ms', sa.BigInteger(), nullable=False),
    sa.Column('supersedes', sa.SmallInteger(), nullable=False),
    sa.Column('by_kind', sa.SmallInteger(), nullable=False),
    sa.Column('partition', sa.SmallInteger(), nullable=False),
    sa.Column('log_offset', sa.BigInteger(), nullable=False),
    sa.Column('idx', sa.SmallInteger(), nullable=False),
    sa.PrimaryKeyConstraint('day', 'pid16', 'model_no', 'source_no', 'label_id8', name=op.f('pk_label')),
    comment='every label that found its request; the winner is a fold over them',
    sqlite_with_rowid=False
    )
    op.create_table('label_blob',
    sa.Column('day', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('pid16', sa.LargeBinary(length=16), nullable=False),
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('source_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('label_id8', sa.LargeBinary(length=8), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('day', 'pid16', 'model_no', 'source_no', 'label_id8', name=op.f('pk_label_blob')),
    comment='boxes or text of a label, until maturity'
    )
    op.create_table('lease',
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('owner', sa.String(length=120), nullable=True),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('until_ms', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('fence >= 1', name=op.f('ck_lease_fence')),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_lease'))
    )
    op.create_table('orphan',
    sa.Column('day', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('pid16', sa.LargeBinary(length=16), nullable=False),
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('source_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('label_id8', sa.LargeBinary(length=8), nullable=False),
    sa.Column('partition', sa.SmallInteger(), nullable=False),
    sa.Column('log_offset', sa.BigInteger(), nullable=False),
    sa.Column('idx', sa.SmallInteger(), nullable=False),
    sa.Column('appended_ms', sa.BigInteger(), nullable=False),
    sa.Column('seen_ms', sa.BigInteger(), nullable=False),
    sa.Column('hops', sa.SmallInteger(), nullable=False),
    sa.Column('raw', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('day', 'pid16', 'model_no', 'source_no', 'label_id8', name=op.f('pk_orphan')),
    comment="labels whose request has not come; seen_ms is the wall clock's"
    )
    with op.batch_alter_table('orphan', schema=None) as batch_op:
        batch_op.create_index('ix_orphan_seen_ms', ['seen_ms'], unique=False)

    op.create_table('outbox',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('topic', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('partition', sa.SmallInteger(), nullable=True),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('claimed_by', sa.Text(), nullable=True),
    sa.Column('claimed_until_ms', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_outbox')),
    sa.UniqueConstraint('message_id', name=op.f('uq_outbox_message_id')),
    comment='messages to send; deleted after the log has acknowledged them'
    )
    op.create_table('plan',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('from_ms', sa.BigInteger(), nullable=False),
    sa.Column('to_ms', sa.BigInteger(), nullable=True),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_plan')),
    comment='frozen instructions to intake; append-only'
    )
    with op.batch_alter_table('plan', schema=None) as batch_op:
        batch_op.create_index('ix_plan_kind_id', ['kind', 'id', 'seq'], unique=False)

    op.create_table('position',
    sa.Column('consumer', sa.Text(), nullable=False),
    sa.Column('topic', sa.Text(), nullable=False),
    sa.Column('partition', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('topic_id', sa.Text(), nullable=False),
    sa.Column('next', sa.BigInteger(), nullable=False),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('watermark_ms', sa.BigInteger(), nullable=False),
    sa.Column('events', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('rejected', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('updated_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('consumer', 'topic', 'partition', name=op.f('pk_position')),
    comment='where each consumer stands; compare-and-swap on next, fenced'
    )
    op.create_table('report',
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('feedback_id8', sa.LargeBinary(length=8), nullable=False),
    sa.Column('unit8', sa.BigInteger(), nullable=False),
    sa.Column('route_no', sa.SmallInteger(), nullable=False),
    sa.Column('name_no', sa.SmallInteger(), nullable=False),
    sa.Column('value', sa.Double(), nullable=True),
    sa.Column('label_code', sa.SmallInteger(), nullable=False),
    sa.Column('event_ms', sa.BigInteger(), nullable=False),
    sa.Column('supersedes8', sa.LargeBinary(length=8), nullable=True),
    sa.Column('partition', sa.SmallInteger(), nullable=False),
    sa.Column('log_offset', sa.BigInteger(), nullable=False),
    sa.Column('idx', sa.SmallInteger(), nullable=False),
    sa.PrimaryKeyConstraint('model_no', 'feedback_id8', name=op.f('pk_report')),
    comment='feedback by unit and route'
    )
    with op.batch_alter_table('report', schema=None) as batch_op:
        batch_op.create_index('ix_report_supersedes8', ['model_no', 'supersedes8'], unique=False)

    op.create_table('version',
    sa.Column('model_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('version_no', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('digest', sa.Text(), nullable=True),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('model_no', 'version_no', name=op.f('pk_version')),
    sa.UniqueConstraint('model_no', 'label', name=op.f('uq_version_model_no_label'))
    )
