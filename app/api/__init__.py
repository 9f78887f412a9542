"""The clients' door: one module per resource."""
