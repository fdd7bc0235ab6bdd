"""The terminal UI, driven by keys and read as text."""
