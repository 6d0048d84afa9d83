"""Many tickets in one request body: split, prepared, written, each row answered."""
