"""Sessions of a project of jobs."""

from pathlib import Path

from lading.tasks.session import Session, open_session

TOML = """
[project]
name = "acme"
[jobs]
packages = ["{package}"]
stores = ["{store}"]
"""


def session_of(
    folder: Path, package: str, *, store: str = "./state", more: str = "", **given: str
) -> Session:
    """Return the session of a command line in a project whose jobs are a package's."""
    (folder / "lading.toml").write_text(TOML.format(package=package, store=store) + more)
    return open_session(given, folder)
