"""Answers that are kept for who asks again. A release before keeps none, and has none to ask for."""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('kept_answer',
    sa.Column('asker', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('asked', sa.Text(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('expires_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('asker', 'key', name=op.f('pk_kept_answer')),
    comment='answers to requests that changed something, for who asks again with the same key'
    )
    op.create_index('ix_kept_answer_expires_ms', 'kept_answer', ['expires_ms'])
