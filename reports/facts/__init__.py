"""Facts: one row per ticket concerned by a period, as of a moment."""
