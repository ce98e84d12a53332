"""What monitors measured, for rollouts. A release before reads none of it."""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('measured',
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('monitor', sa.Text(), nullable=False),
    sa.Column('to_ms', sa.BigInteger(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('model', 'version', 'monitor', name=op.f('pk_measured')),
    comment='the newest closed window that each monitor measured'
    )
