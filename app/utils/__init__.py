"""Pure functions without a domain."""
