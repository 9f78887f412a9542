"""Sandboxes: a conformance suite for every provider, and each provider's own tests."""
