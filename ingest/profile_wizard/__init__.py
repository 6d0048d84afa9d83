"""Create a profile for an unknown file: sample rows, proposal, draft, preview, saved profile."""
