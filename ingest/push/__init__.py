"""One pushed ticket: the queue, the group commit, and the process that commits."""
