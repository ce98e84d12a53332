"""Webhooks, what they were told, and aliases that follow. A release before tells nobody."""

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('webhook',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('models', sa.Text(), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('secret_before', sa.Text(), nullable=False),
    sa.Column('before_until_ms', sa.BigInteger(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('ended_ms', sa.BigInteger(), nullable=True),
    sa.Column('ended_why', sa.Text(), nullable=False),
    sa.Column('took_ms', sa.BigInteger(), nullable=True),
    sa.Column('failing_ms', sa.BigInteger(), nullable=True),
    sa.Column('failure', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook')),
    comment='who is told of decisions by HTTP; the secret signs, so it stands here as it is'
    )
    op.create_table('webhook_delivery',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('webhook', sa.Text(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('event', sa.Text(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('due_ms', sa.BigInteger(), nullable=True),
    sa.Column('tried_ms', sa.BigInteger(), nullable=True),
    sa.Column('status', sa.SmallInteger(), nullable=True),
    sa.Column('said', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_delivery')),
    sa.UniqueConstraint('webhook', 'message_id', name=op.f('uq_webhook_delivery_webhook_message_id')),
    comment='what each webhook was told, or is to be: again at due_ms'
    )
    op.create_index('ix_webhook_delivery_due_ms', 'webhook_delivery', ['due_ms'],
    sqlite_where=sa.text('due_ms IS NOT NULL'), postgresql_where=sa.text('due_ms IS NOT NULL'))
    op.create_table('mlflow_alias',
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('route', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('alias', sa.Text(), nullable=False),
    sa.Column('versions', sa.Text(), nullable=False),
    sa.Column('stands_for', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('model', 'route', name=op.f('pk_mlflow_alias')),
    comment='aliases at an MLflow server that follow who has a route'
    )
