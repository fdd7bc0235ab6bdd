"""High-availability managers: recognized, left alone, and let go on once they are paused."""
