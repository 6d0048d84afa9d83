"""What every use case needs: the event log, the reference data, and how things look from outside."""
