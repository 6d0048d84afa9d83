"""The deadlines of a ticket: kept, explained, computed in bulk, and verified against the event log."""
