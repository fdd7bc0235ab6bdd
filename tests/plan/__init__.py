"""Tests of planning: targets, times, choices, settings, scripts."""
