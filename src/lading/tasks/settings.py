"""The settings without which doit is not safe for releases (docs/adr/0002)."""

from typing import Any

from lading.tasks.checker import DigestChecker
from lading.tasks.reporter import ReleaseReporter
from lading.tasks.session import Session


def doit_settings(session: Session) -> dict[str, Any]:
    """Return ``DOIT_CONFIG`` for a dodo.py; a project may add keys of its own."""
    DigestChecker.cache = session.cache
    return {
        "backend": "lading",  # every finished task is kept, whatever ends the run
        "check_file_uptodate": DigestChecker,  # no file is hashed twice
        "default_tasks": [],  # bare `doit` releases nothing
        "dep_file": str(session.run_folder / "state.sqlite"),  # one a release and environment
        "forget_disable_default": True,
        "minversion": "0.37.0",
        "num_process": 4,
        "par_type": "thread",  # a killed worker process would hang doit for ever
        "reporter": ReleaseReporter,
        "sort": "definition",  # `doit list` reads in the order of a release
    }
