"""What a base backup should be: choices, checks, the command, the sealed plan; pure."""
