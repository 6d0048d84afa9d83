"""Alerts as stored, and the board that shows them."""
