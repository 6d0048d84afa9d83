"""SQLModel tables, one file per noun. Importing this package fills ``metadata``."""

from sqlmodel import SQLModel

from app.models.access import ApiKey, Disclosure, User, UserSession
from app.models.feed import Feed, FeedPull, FeedRecord
from app.models.intake import IdempotentAnswer, ImportRun, Reject
from app.models.operation import JobRun, Lease, Seal, SealEntry, SweepRun
from app.models.outbox import Delivery, Outbox
from app.models.reference import CalendarVersion, Category, Counter, Grid, LadderVersion, PolicyVersion, Source, Unit
from app.models.report import ClearOutEntry, ClearOutList, Report
from app.models.supervision import Alert, AlertFeed, SupervisionOrder
from app.models.ticket import Callback, Deadline, Extension, Suspension, Ticket, TicketEvent

metadata = SQLModel.metadata

__all__ = [
    "Alert",
    "AlertFeed",
    "ApiKey",
    "CalendarVersion",
    "Callback",
    "Category",
    "ClearOutEntry",
    "ClearOutList",
    "Counter",
    "Deadline",
    "Delivery",
    "Disclosure",
    "Extension",
    "Feed",
    "FeedPull",
    "FeedRecord",
    "Grid",
    "IdempotentAnswer",
    "ImportRun",
    "JobRun",
    "LadderVersion",
    "Lease",
    "Outbox",
    "PolicyVersion",
    "Reject",
    "Report",
    "Seal",
    "SealEntry",
    "Source",
    "SupervisionOrder",
    "Suspension",
    "SweepRun",
    "Ticket",
    "TicketEvent",
    "Unit",
    "User",
    "UserSession",
    "metadata",
]
