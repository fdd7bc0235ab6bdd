"""Tests of the room wal/."""
