"""Upstream protocols: REST pages, Open311 GeoReport v2, a watched folder; and the feed specification."""
