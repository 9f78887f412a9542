"""A stand-in for the runner: inside a sandbox, it does what a test asks."""
