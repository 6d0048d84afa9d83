"""Pages: rejects."""
