"""Calendars, deadline policies and ladders: versions, import and export, and checks before they are stored."""
