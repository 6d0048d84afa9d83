"""deadlines name the versions that they go by without a check of the database for each: their ticket's are checked"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEYS = {"policy_id": "policy_version", "calendar_id": "calendar_version"}


def upgrade() -> None:
    with op.batch_alter_table("deadline") as table:
        for column in KEYS:
            table.drop_constraint(f"fk_deadline_{column}", type_="foreignkey")


def downgrade() -> None:
    with op.batch_alter_table("deadline") as table:
        for column, target in KEYS.items():
            table.create_foreign_key(f"fk_deadline_{column}", target, [column], ["id"])
