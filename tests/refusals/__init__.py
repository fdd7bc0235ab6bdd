"""Wrong input and hopeless situations: a clear error, the right exit code, nothing changed."""
