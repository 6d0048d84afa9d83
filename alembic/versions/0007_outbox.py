"""the outbox and its deliveries; the roles an alert is to be sent to"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
Moment = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.add_column("alert", sa.Column("notify", Json, nullable=False, server_default="[]"))
    op.create_table(
        "outbox",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("dedupe_key", sa.String(128), nullable=False),
        sa.Column("audience", Json, nullable=False),
        sa.Column("unit_id", sa.Integer, nullable=True),
        sa.Column("ticket_id", BigInt, nullable=True),
        sa.Column("alert_id", BigInt, nullable=True),
        sa.Column("channel", sa.String(32), nullable=True),
        sa.Column("payload", Json, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("not_before", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease_until", Moment, nullable=True),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name="fk_outbox_unit_id"),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name="fk_outbox_ticket_id"),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name="fk_outbox_alert_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("dedupe_key", name="uq_outbox_dedupe_key"),
    )
    op.create_index("ix_outbox_due", "outbox", ["state", "not_before"])
    op.create_table(
        "delivery",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("outbox_id", BigInt, nullable=False),
        sa.Column("recipient", sa.String(100), nullable=False),
        sa.Column("channel", sa.String(32), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("answer", sa.String(500), nullable=True),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name="fk_delivery_outbox_id"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint(
            "outbox_id", "recipient", "channel", "attempt", name="uq_delivery_outbox_id_recipient_channel_attempt"
        ),
    )


def downgrade() -> None:
    op.drop_table("delivery")
    op.drop_table("outbox")
    op.drop_column("alert", "notify")
