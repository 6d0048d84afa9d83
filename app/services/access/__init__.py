"""People, sessions, keys, and the record of who looked at personal data."""
