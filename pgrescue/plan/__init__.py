"""From facts to a sealed plan: pure functions, no I/O."""
