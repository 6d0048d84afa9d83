"""Facts: one row per ticket that a period touches, as of a moment."""
