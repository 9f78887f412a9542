"""What all tests can ask for."""

from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

pytest_plugins = ["tests.services", "tests.databases", "tests.logs"]

set_hypothesis_home_dir(Path(__file__).parent.parent / ".cache" / "hypothesis")
settings.register_profile("brief", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("brief")
