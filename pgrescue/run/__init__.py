"""What makes a sealed plan happen, and survives: journal, lock, detached runner, executors."""
