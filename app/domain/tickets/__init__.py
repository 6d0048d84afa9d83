"""The life of a ticket: transitions, clocks, policies, and its rebuilding from events."""
