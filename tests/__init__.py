"""Tests of what a user notices, with real files and real servers."""
