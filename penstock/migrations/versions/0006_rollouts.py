"""Rollouts, their specs and decisions. A release before decides nothing, and reads none."""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('rollout',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('route', sa.Text(), nullable=False),
    sa.Column('salt', sa.Text(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_rollout')),
    comment='rollouts as they were created; where one stands is a fold of its decisions'
    )
    op.create_table('rollout_live',
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('route', sa.Text(), nullable=False),
    sa.Column('rollout', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('model', 'route', name=op.f('pk_rollout_live')),
    comment='which rollout has a route, from its start to its end'
    )
    op.create_table('rollout_revision',
    sa.Column('rollout', sa.Text(), nullable=False),
    sa.Column('no', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('rollout', 'no', name=op.f('pk_rollout_revision')),
    comment='specs as they were written; which one holds stands in the decisions'
    )
    op.create_table('decision',
    sa.Column('rollout', sa.Text(), nullable=False),
    sa.Column('seq', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('begins_epoch', sa.Integer(), nullable=True),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('rollout', 'seq', name=op.f('pk_decision')),
    sa.UniqueConstraint('begins_epoch', name=op.f('uq_decision_begins_epoch')),
    comment='decisions about rollouts, a chain each: append-only'
    )
