"""A mapping for a file that nobody has described yet: its first rows, a proposal, a draft, a preview, a profile saved."""
