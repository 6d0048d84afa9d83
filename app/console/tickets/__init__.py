"""Pages: tickets."""
