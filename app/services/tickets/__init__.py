"""One ticket: read, acted on, corrected, called back about, extended."""
