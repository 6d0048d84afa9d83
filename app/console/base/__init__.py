"""Shared by all pages: templates, languages, wording, choices."""
