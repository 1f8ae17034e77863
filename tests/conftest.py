"""What holds for all tests."""

from hypothesis import settings

# a busy machine is no fault of the code: nothing here is judged by the clock
settings.register_profile("lading", deadline=None)
settings.load_profile("lading")

pytest_plugins = ["tests.ledgers"]
