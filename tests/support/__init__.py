"""The harness of the end-to-end tests: clusters, the oracle, directory digests, the command."""
