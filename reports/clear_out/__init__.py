"""The clear-out ledger of a month."""
