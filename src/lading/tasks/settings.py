"""The settings without which doit is not safe for releases (docs/adr/0002)."""

from collections.abc import Iterator
from typing import Any

import doit.control
from doit.control import ExecNode

from lading.tasks.checker import DigestChecker
from lading.tasks.reporter import ReleaseReporter
from lading.tasks.session import Session


class _Waiting:
    """The nodes that wait for a task, as a set that keeps their order."""

    def __init__(self) -> None:
        self._nodes: dict[Any, None] = {}

    def add(self, node: Any) -> None:
        self._nodes[node] = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._nodes)


class _OrderedNode(ExecNode):  # type: ignore[misc]  # doit ships no types
    """A node that releases those who wait for it in the order of their definition.

    doit keeps them in a set and begins them in the order of their memory addresses; archives
    are to be begun largest first, and two runs are to read alike.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.waiting_me = _Waiting()


def doit_settings(session: Session) -> dict[str, Any]:
    """Return ``DOIT_CONFIG`` for a dodo.py; a project may add keys of its own."""
    DigestChecker.cache = session.cache
    doit.control.ExecNode = _OrderedNode
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
