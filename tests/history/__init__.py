"""What the WAL tells: rules that need a history made by hand."""
