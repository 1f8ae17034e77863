"""A worker: takes jobs from the ledger, one at a time, and lets doit publish them.

It is a process of its own, that survives the server: see ``supervise``. Any of it may be
killed at any moment. Its job is taken up again by another, and doit's own promise (run the
same command again) does the rest.
"""

import time

from lading.errors import LedgerError
from lading.ledger.claims import claim, read_clock
from lading.ledger.model import Run
from lading.ledger.queue import has_open
from lading.storage.owner import name_owner
from lading.web.child import prune_files
from lading.web.job import Bench, Job
from lading.web.slots import find_holder, jobs_folder, server_path

KEPT_LOGS = 500
"""Jobs whose logs stay on this machine."""


class Worker:
    """Works until it is asked to end, or until nobody needs it any more.

    One that belongs to a server goes on while that server lives, and until the queue is empty
    where there is none; where another server came, it ends, since that one begins workers of
    its own, of the program and the configuration of its day.

    Args:
        bench: what it works with.
        server: process of the server that it belongs to; "" where it is needed for ever.
    """

    def __init__(self, bench: Bench, *, server: str = "") -> None:
        self._bench = bench
        self._server = server

    def work(self) -> None:
        """Carry out jobs until the end.

        Effects: children of doit, their files below ``workers/jobs``, and jobs in the ledger.
        """
        prune_files(jobs_folder(self._bench.served.work), KEPT_LOGS)
        while not self._bench.stopping.is_asked:
            try:
                run = self._claim()
                if run is None and not self._is_needed():
                    return
            except LedgerError as error:
                self._bench.warn(error)
                time.sleep(self._bench.pace.troubled_s)
                continue
            if run is None:
                time.sleep(self._bench.pace.idle_s)
                continue
            Job(self._bench, run).carry_out()
            if not self._is_wanted_by(self._find_server()):
                return

    def _claim(self) -> Run | None:
        bench = self._bench
        at = read_clock(bench.ledger)
        return claim(bench.ledger, bench.process, name_owner(), at, bench.served.projects)

    def _is_needed(self) -> bool:
        holder = self._find_server()
        if not self._is_wanted_by(holder):
            return False
        bench = self._bench
        return not self._server or bool(holder) or has_open(bench.ledger, bench.served.projects)

    def _is_wanted_by(self, holder: str) -> bool:
        return not self._server or holder in {"", self._server}

    def _find_server(self) -> str:
        return find_holder(server_path(self._bench.served.work))
