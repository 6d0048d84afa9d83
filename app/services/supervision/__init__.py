"""The sweep: what the ladder asks for is written."""
