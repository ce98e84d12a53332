"""What the judge saw, and what services decide by. A release before judges nothing."""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('rollout_look',
    sa.Column('rollout', sa.Text(), nullable=False),
    sa.Column('seq', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at_ms', sa.BigInteger(), nullable=False),
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('fresh_ms', sa.BigInteger(), nullable=True),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('rollout', 'seq', name=op.f('pk_rollout_look')),
    comment='what the judge looked at and found: seq 0 the newest look, n what decision n saw'
    )
    op.create_table('route_reader',
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('route', sa.Text(), nullable=False),
    sa.Column('reader', sa.Text(), nullable=False),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('expires_ms', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('model', 'route', 'reader', name=op.f('pk_route_reader')),
    comment='which route table each service decides by, as far as it said'
    )
