"""Upstream protocols, each a connector found by its name, and the feed specification."""
