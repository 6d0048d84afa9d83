"""Pages: feeds."""
