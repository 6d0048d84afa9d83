"""the columns of an imported file, by which its rejects are shown"""

import sqlalchemy as sa
from alembic import op

from app.models.types import Json

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("import_run", sa.Column("columns", Json, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("import_run") as table:
        table.drop_column("columns")
