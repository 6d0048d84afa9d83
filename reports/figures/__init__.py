"""Figures: the registry evaluated over facts."""
