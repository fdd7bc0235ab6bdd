"""One executor per step: acts, and returns in a few words what it did."""
