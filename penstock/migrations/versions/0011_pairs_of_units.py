"""Pairs of sticky units. A release before counts each pair by itself, and knows no such units."""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('unit_paired',
    sa.Column('epoch', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('unit8', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('bucket_ms', sa.BigInteger(), nullable=False),
    sa.Column('arm', sa.SmallInteger(), nullable=False),
    sa.Column('slices', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('epoch', 'unit8', name=op.f('pk_unit_paired')),
    comment='sticky units of which an epoch compares pairs, from when they had the first'
    )
    op.create_index('ix_unit_paired_by_time', 'unit_paired', ['epoch', 'bucket_ms'])
