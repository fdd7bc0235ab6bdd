"""Whether a cluster could be rescued today: every finding with its fix."""
