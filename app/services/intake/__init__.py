"""How tickets get in: pushed or imported, with their first deadlines; rejects, import runs and feeds as stored."""
