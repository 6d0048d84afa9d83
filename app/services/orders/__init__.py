"""Supervision orders: the numbered documents, and what people do with them."""
