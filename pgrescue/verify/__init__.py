"""Whether a backup is what its manifest says: every file, and the WAL that it needs."""
