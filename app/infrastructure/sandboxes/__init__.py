"""Sandboxes: one contract, one module per provider."""
