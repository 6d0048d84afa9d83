"""Deadlines recomputed after a rule has changed, and past tickets replayed under a proposed rule."""
