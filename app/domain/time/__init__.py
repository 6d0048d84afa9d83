"""Working-day calendars, limits, due times and receipts."""
