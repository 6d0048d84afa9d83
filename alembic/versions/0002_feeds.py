"""feeds"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
Moment = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "feed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("spec", Json, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("position", Json, nullable=False),
        sa.Column("lease_holder", sa.String(128), nullable=True),
        sa.Column("lease_until", Moment, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", Moment, nullable=True),
        sa.Column("last_started_at", Moment, nullable=True),
        sa.Column("last_done_at", Moment, nullable=True),
        sa.Column("last_error", Json, nullable=True),
        sa.Column("newest_at", Moment, nullable=True),
        sa.Column("skew_seconds", sa.Integer(), nullable=True),
        sa.Column("created", BigInt, nullable=False),
        sa.Column("corrected", BigInt, nullable=False),
        sa.Column("unchanged", BigInt, nullable=False),
        sa.Column("rejected", BigInt, nullable=False),
        sa.Column("added_at", Moment, nullable=False),
        sa.Column("added_by", sa.String(100), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_feed_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed")),
        sa.UniqueConstraint("name", name=op.f("uq_feed_name")),
    )
    op.create_table(
        "feed_pull",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("feed_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", Moment, nullable=False),
        sa.Column("finished_at", Moment, nullable=True),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("corrected", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("error", Json, nullable=True),
        sa.Column("detail", Json, nullable=True),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.ForeignKeyConstraint(["feed_id"], ["feed.id"], name=op.f("fk_feed_pull_feed_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_pull")),
    )
    op.create_index("ix_feed_pull_feed", "feed_pull", ["feed_id", "id"], unique=False)
    op.create_table(
        "feed_record",
        sa.Column("feed_id", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(64), nullable=False),
        sa.Column("ticket_id", BigInt, nullable=False),
        sa.Column("updated_at", Moment, nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["feed_id"], ["feed.id"], name=op.f("fk_feed_record_feed_id")),
        sa.PrimaryKeyConstraint("feed_id", "external_id", name=op.f("pk_feed_record")),
    )


def downgrade() -> None:
    op.drop_table("feed_record")
    op.drop_index("ix_feed_pull_feed", table_name="feed_pull")
    op.drop_table("feed_pull")
    op.drop_table("feed")
