"""One input row to one ticket: profile, mapping, validation, comparison with what is stored."""
