"""The map of an archive's timelines: pure functions from what is known to rows of text."""
