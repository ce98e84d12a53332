"""Reports about versions. A release before writes none, and reads none."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('version_report',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('model_no', sa.SmallInteger(), nullable=False),
    sa.Column('version_no', sa.SmallInteger(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('passed', sa.SmallInteger(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_version_report')),
    comment='what was found out about versions; append-only, the newest of a kind counts'
    )
    with op.batch_alter_table('version_report', schema=None) as batch_op:
        batch_op.create_index('ix_version_report_version', ['model_no', 'version_no', 'kind', 'id'], unique=False)
