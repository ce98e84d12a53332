"""Route tables. A release before publishes none, and reads none."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('route_table',
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('route', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('expires_ms', sa.BigInteger(), nullable=False),
    sa.Column('replaced_by', sa.Integer(), nullable=True),
    sa.PrimaryKeyConstraint('model', 'route', 'version', name=op.f('pk_route_table')),
    comment='route tables as they were published; of each route one is not replaced'
    )
    with op.batch_alter_table('route_table', schema=None) as batch_op:
        batch_op.create_index('ix_route_table_newest', ['model', 'route'], unique=True, sqlite_where=sa.text('replaced_by IS NULL'), postgresql_where=sa.text('replaced_by IS NULL'))
