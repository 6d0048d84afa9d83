"""Files: uploaded, read in a process of their own, and imported as resumable jobs."""
