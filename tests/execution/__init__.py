"""The run engine, on a real database and a runner that follows a script."""
