"""What the WAL tells of a cluster's past: windows, stop points, traps, incidents."""
