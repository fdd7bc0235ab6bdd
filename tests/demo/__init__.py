"""The sandbox cluster and its story."""
