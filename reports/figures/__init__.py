"""Figures: the registry counted over facts."""
