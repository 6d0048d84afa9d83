"""looks at the raw rows of rejects are kept like those at tickets"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("disclosure") as table:
        table.alter_column("ticket_id", existing_type=BigInt, nullable=True)
        table.add_column(sa.Column("reject_id", BigInt, nullable=True))
        table.create_foreign_key(op.f("fk_disclosure_reject_id"), "reject", ["reject_id"], ["id"])
        table.create_index(op.f("ix_disclosure_reject_id"), ["reject_id"])
        table.create_index(op.f("ix_disclosure_actor"), ["actor"])


def downgrade() -> None:
    op.execute("DELETE FROM disclosure WHERE ticket_id IS NULL")
    with op.batch_alter_table("disclosure") as table:
        table.drop_index(op.f("ix_disclosure_actor"))
        table.drop_index(op.f("ix_disclosure_reject_id"))
        table.drop_constraint(op.f("fk_disclosure_reject_id"), type_="foreignkey")
        table.drop_column("reject_id")
        table.alter_column("ticket_id", existing_type=BigInt, nullable=False)
