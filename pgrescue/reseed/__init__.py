"""Filling a standby from a live server: checks, steps, the sealed plan; pure."""
