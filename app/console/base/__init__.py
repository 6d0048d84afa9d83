"""What every page shares: templates, languages, wording, choices."""
