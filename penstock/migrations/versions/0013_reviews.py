"""Proposed answers that people are asked about. A release before opens none."""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('review',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('rollout', sa.Text(), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('prediction_id', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('probability', sa.Double(), nullable=False),
    sa.Column('opened_ms', sa.BigInteger(), nullable=False),
    sa.Column('deadline_ms', sa.BigInteger(), nullable=False),
    sa.Column('answer', sa.LargeBinary(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('by', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('label', sa.Text(), nullable=True),
    sa.Column('closed_ms', sa.BigInteger(), nullable=True),
    sa.CheckConstraint('probability > 0 AND probability <= 1', name=op.f('ck_review_probability')),
    sa.CheckConstraint("(state = 'open') = (closed_ms IS NULL)", name=op.f('ck_review_closed')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_review')),
    comment='proposed answers that people were asked about, and what the first of them said'
    )
    with op.batch_alter_table('review') as batch:
        batch.create_index('ix_review_epoch', ['epoch', 'version', 'state'], unique=False)
        batch.create_index('ix_review_state', ['state', 'deadline_ms', 'id'], unique=False)
