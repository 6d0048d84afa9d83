"""the columns of an imported file, by which its rejects are shown"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("import_run", sa.Column("columns", Json, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("import_run") as table:
        table.drop_column("columns")
