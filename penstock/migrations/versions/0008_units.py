"""Sticky units. A release before counts none, and its workers have to go before a rollout of one."""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('unit_bad',
    sa.Column('epoch', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('metric', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('unit8', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('counted', sa.SmallInteger(), nullable=False),
    sa.PrimaryKeyConstraint('epoch', 'metric', 'unit8', name=op.f('pk_unit_bad')),
    comment='sticky units that had a bad event of a metric with a fast path'
    )
    op.create_table('unit_cursor',
    sa.Column('epoch', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('what', sa.Text(), nullable=False),
    sa.Column('next_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('epoch', 'what', name=op.f('pk_unit_cursor')),
    comment="up to which enrolment each period of a sticky epoch's metrics is counted"
    )
    op.create_table('unit_enrolled',
    sa.Column('epoch', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('unit8', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('bucket_ms', sa.BigInteger(), nullable=False),
    sa.Column('arm', sa.SmallInteger(), nullable=False),
    sa.Column('slices', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('epoch', 'unit8', name=op.f('pk_unit_enrolled')),
    comment='sticky units that an epoch compares, from when they were first seen'
    )
    op.create_index('ix_unit_enrolled_by_time', 'unit_enrolled', ['epoch', 'bucket_ms'])
    op.create_table('unit_partial',
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('bucket_ms', sa.BigInteger(), nullable=False),
    sa.Column('unit8', sa.BigInteger(), nullable=False),
    sa.Column('arm', sa.SmallInteger(), nullable=False),
    sa.Column('first_ms', sa.BigInteger(), nullable=True),
    sa.Column('slices', sa.BigInteger(), nullable=True),
    sa.Column('cells', sa.LargeBinary(), nullable=False),
    comment='what events say of sticky units: rows that add, until their exposure is over'
    )
    op.create_index('ix_unit_partial_by_time', 'unit_partial', ['epoch', 'bucket_ms'])
    op.create_index('ix_unit_partial_of_unit', 'unit_partial', ['epoch', 'unit8', 'bucket_ms'])
