"""People, sessions, keys, and the audit record of disclosed personal data."""
