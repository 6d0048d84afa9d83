"""The page that explains the words of the field and the figures."""
