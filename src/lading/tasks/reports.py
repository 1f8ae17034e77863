"""The report of a run: written on this machine, and put beside the release."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from lading.config.load import LoadedConfig
from lading.errors import LadingError, MissingObjectError
from lading.ledger.model import Run
from lading.ledger.names import ledger_url
from lading.release.layout import RELEASE_KEY, REPORT_KEY
from lading.release.names import Prefix
from lading.release.objects import Digest
from lading.storage import Body, Store
from lading.storage.bytes import write_atomically
from lading.tasks import steps
from lading.tasks.session import Session, open_session


def report_path(work: Path, run_id: str) -> Path:
    """Return where the report of a run is written, below the work folder."""
    return work / "reports" / f"{run_id}.html"


def report_of(session: Session, run: Run) -> Iterator[str]:
    """Write the report of a run that just ended, and put it beside its release.

    Yields:
        What could not be done, one line each: a release is none the worse for it.
    """
    try:
        from lading.ledger.ledger import open_ledger  # noqa: PLC0415  of those who want one
        from lading.web.account import load_account  # noqa: PLC0415  likewise
        from lading.web.report import render_report  # noqa: PLC0415  likewise
    except ModuleNotFoundError as error:
        yield f"expected {error.name}, found none; install lading[web]"
        return
    try:
        url = ledger_url(session.config.ledger, session.work, os.environ)
        ledger = open_ledger(url, is_for_writing=False)
        try:
            account = load_account(ledger, run.run_id)
        finally:
            ledger.close()
        if account is None:
            yield f"expected run {run.run_id} in the ledger, found none"
            return
        data = render_report(account)
        write_atomically(report_path(session.work, run.run_id), data)
        if run.state == "completed":
            put_beside_release(session, data)
    except (LadingError, OSError) as error:
        yield str(error)


def put_report(loaded: LoadedConfig, run: Run, data: bytes) -> list[str]:
    """Put a report beside ``release.json`` of each moving prefix of a run's release.

    Args:
        loaded: the configuration.
        run: a run of a release that is done.
        data: the report.

    Returns:
        Where it was put; nothing where the configuration asks for none.

    Raises:
        LadingError: a store refused.
    """
    given = {"type": run.channel, "tag": run.tag, "config": loaded.path.name}
    if run.environment == "staging" != run.channel:
        given["staging"] = "1"
    session = open_session(given, loaded.base)
    if not (session.config.report.beside_release and run.is_release):
        return []
    return put_beside_release(session, data)


def put_beside_release(session: Session, data: bytes) -> list[str]:
    """Put a report beside ``release.json`` of each moving prefix; return where.

    A prefix that is never rewritten, or whose objects are held, gets none; nor does one at which
    another release stands by now, or whose release has a file of that name itself.
    """
    wanted = steps.load_shipment(session).objects
    if REPORT_KEY in wanted:
        return []
    put = []
    for destination in steps.need_release(session).destinations:
        store = session.store(destination)
        for prefix in destination.prefixes:
            if not (prefix.immutable or prefix.held) and _stands(store, prefix, wanted):
                key = f"{prefix.key_prefix}{REPORT_KEY}"
                store.put(key, Body.of_bytes(data, "text/html; charset=utf-8"))
                put.append(f"{store.url}/{key}")
    return put


def _stands(store: Store, prefix: Prefix, wanted: Mapping[str, Digest]) -> bool:
    """Say whether a prefix holds the release that has these objects."""
    try:
        return store.digest(f"{prefix.key_prefix}{RELEASE_KEY}").agrees_with(wanted[RELEASE_KEY])
    except MissingObjectError:
        return False
