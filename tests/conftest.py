"""What all tests can ask for."""

from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

pytest_plugins = ["tests.services", "tests.databases", "tests.logs"]

set_hypothesis_home_dir(Path(__file__).parent.parent / ".cache" / "hypothesis")
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
