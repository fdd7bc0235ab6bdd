"""The UI's own settings, before Textual is imported."""

from __future__ import annotations

from pgrescue.tui.environment import prepare_environment

prepare_environment()
