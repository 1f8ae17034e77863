"""Telling people how a run ended: Slack, the CI job's summary, its annotations, plain files.

All of it is best effort: a release that nobody could be told of is a release all the same.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lading.errors import LadingError
from lading.ledger.model import Run
from lading.ledger.verdict import judge
from lading.release.links import prefix_url
from lading.release.receipts import load_receipt
from lading.services.announcement import (
    Announcement,
    Stage,
    Verdict,
    render_annotations,
    render_summary,
)
from lading.services.journal import Journal
from lading.services.redaction import redact
from lading.storage import Progress
from lading.storage.bytes import write_atomically
from lading.tasks.board import BOARD, Row
from lading.tasks.outside import call_receipt_path
from lading.tasks.session import Session
from lading.tasks.steps import Outcome, need_release
from lading.tasks.wording import resume_command

_BRIEF_S, _LONG_S = 5.0, 30.0  # a run that was asked to stop has seconds
NOTHING_DONE = {"unchanged", "up to date", "skipped"}


def notify(session: Session, progress: Progress) -> Outcome:
    """Tell the team that everything above is done. A failure to tell is a warning."""
    from lading.services.slack import TOLD_ALREADY  # noqa: PLC0415  doit list needs it not

    del progress
    if session.config.slack is None:
        return Outcome("lading.toml has no [slack]", changed=False, skipped=True)
    rows = [row for row in BOARD.rows if row.task != "notify"]
    unchanged = {row.state for row in rows} <= NOTHING_DONE
    try:
        told = tell(session, announce(session, rows, "unchanged" if unchanged else "released"))
    except LadingError as error:
        return Outcome("nobody was told", changed=False, warnings=(str(error),))
    return Outcome(told, changed=told != TOLD_ALREADY)


def access(session: Session, progress: Progress) -> Outcome:
    """Ask Slack whether it will take a message; a refusal is a warning, as it will be then."""
    from lading.services.slack import ask_access  # noqa: PLC0415  doit list needs it not

    del progress
    slack = session.config.slack
    if slack is None:
        return Outcome("lading.toml has no [slack]", changed=False, skipped=True)
    try:
        found = ask_access(slack, os.environ.get(slack.token_variable, ""))
    except LadingError as error:
        return Outcome("nobody could be told", changed=False, warnings=(str(error),))
    return Outcome(found, changed=False)


def tell(session: Session, announcement: Announcement, *, brief: bool = False) -> str:
    """Tell Slack, if the configuration asks for it; return what was done, "" for nothing.

    Raises:
        ServiceError: Slack would not take it.
    """
    from lading.services.slack import tell as tell_slack  # noqa: PLC0415  doit list needs it not

    slack = session.config.slack
    if slack is None:
        return ""
    journal = Journal(session.calls_folder / "notify.json", _identity(session))
    token = os.environ.get(slack.token_variable, "")
    done = tell_slack(announcement, slack, token, journal, budget_s=_BRIEF_S if brief else _LONG_S)
    _note_told(session)
    return done


def announce(session: Session, rows: Sequence[Row], verdict: Verdict) -> Announcement:
    """Say what a run of a release has done so far."""
    begun = min((row.started for row in rows), default=0.0)
    ended = max((row.started + row.elapsed_s for row in rows), default=0.0)
    stages = [Stage(row.task, row.state, redact(row.detail), row.elapsed_s) for row in rows]
    return _announcement(session, stages, verdict, ended - begun)


def account_of(session: Session, run: Run, verdict: Verdict) -> Announcement:
    """Say how a run ended, from what the ledger has of it too: steps, matrix, verdict."""
    stages = [Stage(each.task, each.state, each.detail, each.elapsed_s) for each in run.steps]
    told = _announcement(session, stages, verdict, run.elapsed_s)
    return replace(told, standing=judge(run).sentence, targets=run.targets)


def _announcement(
    session: Session, stages: Sequence[Stage], verdict: Verdict, elapsed_s: float
) -> Announcement:
    release = need_release(session)
    return Announcement(
        project=release.project,
        title=session.config.project.title,
        channel=release.channel,
        tag=release.tag,
        environment=release.environment,
        verdict=verdict,
        stages=tuple(stages),
        elapsed_s=elapsed_s,
        links=dict(_links(session)),
        resume=resume_command(sys.argv),
    )


def close(
    session: Session, rows: Sequence[Row], verdict: Verdict, run: Run | None = None
) -> list[str]:
    """Close a run of a release: its summary in files, and, where it failed, the team told.

    Args:
        session: the session.
        rows: its tasks.
        verdict: how it ended.
        run: its record; None where there is none, and the rows alone are told.

    Returns:
        What could not be done, one line each.
    """
    announcement = (
        announce(session, rows, verdict) if run is None else account_of(session, run, verdict)
    )
    faults = list(_write_summary(session, announcement))
    if verdict in {"failed", "interrupted"}:
        try:
            tell(session, announcement, brief=verdict == "interrupted")
        except LadingError as error:
            faults.append(f"notify: nobody was told: {error}")
    return faults


def _write_summary(session: Session, announcement: Announcement) -> Iterator[str]:
    text = render_summary(announcement)
    path = session.run_folder / "summary.md"
    try:
        write_atomically(path, text.encode())
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(text + "\n")
    except OSError as error:
        yield f"notify: expected to write the summary, got {error.strerror!r}"
    if os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stdout.write(render_annotations(announcement))
        sys.stdout.flush()


def _links(session: Session) -> Iterator[tuple[str, str]]:
    release = need_release(session)
    for prefix in release.prefixes:
        if url := prefix_url(session.config, release, prefix):
            yield prefix.task, url
    for call in release.calls:
        receipt = load_receipt(call_receipt_path(session, call))
        if receipt and receipt.facts.get("url", "").startswith("http"):
            yield call.task, receipt.facts["url"]
    if run := run_url():
        yield "run", run


def run_url() -> str:
    """Return where the CI run is seen that this process is part of, or ""."""
    names = ("SERVER_URL", "REPOSITORY", "RUN_ID")
    server, repository, number = (os.environ.get(f"GITHUB_{name}", "") for name in names)
    return f"{server}/{repository}/actions/runs/{number}" if server and number else ""


def _identity(session: Session) -> str:
    """Name what one message is about: this release, whatever became of it so far."""
    release = need_release(session)
    return f"{release.project} {release.channel} {release.tag} {release.environment}"


def _note_told(session: Session) -> None:
    """Leave a mark for the CI job's last step: of this run, the team knows."""
    run = [os.environ.get(f"GITHUB_RUN_{name}", "") for name in ("ID", "ATTEMPT")]
    data = json.dumps({"run": "-".join(run)}) + "\n"
    write_atomically(session.run_folder / "notify" / "told.json", data.encode())
