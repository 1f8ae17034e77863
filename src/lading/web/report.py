"""The report of a run: one HTML file that opens from a disk, a bucket or a mail."""

from dataclasses import replace

from lading.web.account import Account, previous_release
from lading.web.diff import Changes, compare_files
from lading.web.hiding import Hide, hide_in_line, hide_in_run, make_hide
from lading.web.history_view import HistoryView, view_history
from lading.web.release_view import ReleaseView, view_release
from lading.web.run_view import RunView, view_run
from lading.web.showing import Limits, content_policy, render

LIMIT_BYTES = 1_000_000
"""What a report never exceeds: long tables are cut, and say how many rows were left out."""
_FIRST = Limits(rows=1200, bars=400, lines=40, letters=2000)
_LAST = Limits(rows=4, bars=4, lines=2, letters=40)


def render_report(account: Account) -> bytes:
    """Render a report: self-contained, no script is needed, no address but links is in it.

    It is rendered with ever less of what is endless, until it fits into ``LIMIT_BYTES``.
    """
    hidden = _hide(account, make_hide())
    changes = _changes(hidden)
    limits = _FIRST
    data = _render(hidden, changes, limits)
    while len(data) > LIMIT_BYTES and limits != _LAST:
        limits = _cut(limits, len(data))
        data = _render(hidden, changes, limits)
    return data


def _render(account: Account, changes: Changes | None, limits: Limits) -> bytes:
    html = render(
        "report.html",
        limits,
        root=None,
        policy=content_policy(is_file=True),
        view=_view_run(account, changes, limits),
        release=_view_release(account, limits),
        history=_view_history(account, limits),
    )
    return html.encode("utf-8", "replace")


def _cut(limits: Limits, size_bytes: int) -> Limits:
    """Return lesser limits, after a report with these was so large."""
    share = min(LIMIT_BYTES / size_bytes * 0.9, 0.75)
    return Limits(
        rows=max(int(limits.rows * share), _LAST.rows),
        bars=max(int(limits.bars * share), _LAST.bars),
        lines=max(int(limits.lines * share), _LAST.lines),
        letters=max(_round(limits.letters * share), _LAST.letters),
    )


def _round(letters: float) -> int:
    # a power of two: templates are compiled for each, once
    return 1 << int(letters).bit_length() - 1


def _hide(account: Account, hide: Hide) -> Account:
    verdict = account.verdict
    return replace(
        account,
        run=hide_in_run(account.run, hide),
        verdict=replace(
            verdict,
            sentence=hide(verdict.sentence),
            error=hide(verdict.error),
            resume=hide(verdict.resume),
        ),
        tails={
            task: tuple(hide_in_line(each, hide) for each in lines)
            for task, lines in account.tails.items()
        },
    )


def _changes(account: Account) -> Changes | None:
    before = previous_release(account.run, [each for each, _ in reversed(account.history)])
    files = next((f for each, f in reversed(account.history) if each is before), ())
    return compare_files(files, account.artifacts) if files and account.artifacts else None


def _view_run(account: Account, changes: Changes | None, limits: Limits) -> RunView:
    releases = [each for each, _ in reversed(account.history)]
    return view_run(
        account.run,
        account.verdict,
        at=account.at,
        tails=account.tails,
        release=account.release,
        previous=previous_release(account.run, releases),
        changes=changes,
        limits=limits,
    )


def _view_release(account: Account, limits: Limits) -> ReleaseView | None:
    if account.release is None:
        return None
    title = account.run.title
    return view_release(
        account.release, account.run, account.artifacts, title=title, limit=limits.rows
    )


def _view_history(account: Account, limits: Limits) -> HistoryView | None:
    if len(account.history) < 2:  # noqa: PLR2004  one release is no line
        return None
    return view_history(account.history, limit=limits.bars // 4)
