"""What all tests can ask for."""

pytest_plugins = ["tests.services", "tests.databases", "tests.logs"]
