"""feeds asked to be pulled; rejects of feeds by their upstream's id"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ASKED = ("pull_asked_by", "reconcile_asked", "reconcile_asked_by")


def upgrade() -> None:
    op.add_column("feed", sa.Column("pull_asked_by", sa.String(100), nullable=True))
    op.add_column("feed", sa.Column("reconcile_asked", sa.String(10), nullable=True))
    op.add_column("feed", sa.Column("reconcile_asked_by", sa.String(100), nullable=True))
    op.add_column("reject", sa.Column("external_id", sa.String(64), nullable=True))
    op.create_index("ix_reject_external_id", "reject", ["source_id", "external_id"], unique=False)
    op.create_index("ix_feed_pull_started", "feed_pull", ["feed_id", "started_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_feed_pull_started", table_name="feed_pull")
    op.drop_index("ix_reject_external_id", table_name="reject")
    op.drop_column("reject", "external_id")
    for name in ASKED:
        op.drop_column("feed", name)
