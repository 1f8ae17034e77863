"""A run as a person reads it in a terminal: verdict, targets, steps, where it comes from. Pure."""

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lading.cli.terminal import (
    STATE_STYLES,
    Column,
    Line,
    clean,
    clean_lines,
    render_table,
)
from lading.tasks.wording import count, format_bytes, format_duration

if TYPE_CHECKING:
    from rich.text import Text

    from lading.ledger.model import Progress, Run, Step, Target
    from lading.ledger.verdict import Verdict

_LONGEST_ERROR = 20  # lines; the log has the rest
_TARGETS = (
    Column("what"),
    Column("where", folds=True),
    Column("files", is_right=True),
    Column("size", is_right=True),
    Column("state"),
    Column("verified at (UTC)"),
)
_STEPS = (
    Column("step", folds=True),
    Column("state"),
    Column("took", is_right=True),
    Column("detail", folds=True),
)


def render_status(run: "Run", verdict: "Verdict", width: int, now: datetime) -> "list[Text]":
    """Return all that is known of a run, the verdict first.

    Args:
        run: the run, with its steps and targets.
        verdict: what became of it.
        width: columns of the page.
        now: for how long something has been going on.
    """
    from rich.text import Text  # noqa: PLC0415  bare commands need none of it

    from lading.ledger.verdict import SETTLED, name_subject  # noqa: PLC0415  as above

    style = STATE_STYLES.get(verdict.word, "bold")
    page = [Text(clean(_verdict_line(run, verdict)), style=style)]
    page += [Text(f"  {each}") for each in _cut(verdict.error)]
    if verdict.is_open:
        page += [Text(each) for each in _ways_on(run, verdict)]
    page += [Text(), Text(clean(name_subject(run)), style="bold"), Text(clean(_when(run, now)))]
    if run.targets:
        told = {(each.task, each.detail) for each in run.steps if each.state in SETTLED}
        rows = [_target(each, is_told=(each.task, each.note) in told) for each in run.targets]
        page += [Text(), *render_table(_TARGETS, rows, width)]
    if run.steps:
        lines = [_step(each, now, is_gone=run.is_aborted) for each in run.steps]
        page += [Text(), *render_table(_STEPS, lines, width)]
    page.append(Text())
    page += [Text(f"{name:<12} {clean(fact)}") for name, fact in _origin(run) if fact]
    return page


def describe_progress(progress: "Progress") -> str:
    """Say how far something is: ``43 %, 1.2 GB of 2.8 GB, 12.3 MB/s, 2 min 10 s left``."""
    parts = [f"{int(progress.percent)} %"]
    if progress.size_bytes:
        done, size = format_bytes(progress.done_bytes), format_bytes(progress.size_bytes)
        parts.append(f"{done} of {size}")
    elif progress.files:
        parts.append(f"{progress.done_files} of {count(progress.files, 'file')}")
    if progress.rate_bytes_s:
        parts.append(f"{format_bytes(progress.rate_bytes_s)}/s")
    if progress.left_s is not None:
        parts.append(f"{format_duration(progress.left_s)} left")
    return ", ".join(parts)


def _verdict_line(run: "Run", verdict: "Verdict") -> str:
    if verdict.word != "running":
        return verdict.sentence
    return f"{verdict.sentence}: {describe_progress(run.progress)}"


def _cut(error: str) -> Sequence[str]:
    lines = clean_lines(error)
    rest = len(lines) - _LONGEST_ERROR
    return [*lines[:_LONGEST_ERROR], f"... and {count(rest, 'more line')}"] if rest > 0 else lines


def _ways_on(run: "Run", verdict: "Verdict") -> Iterator[str]:
    if verdict.resume:
        yield f"resume with: {clean(verdict.resume)}"
    if verdict.failed_at:
        step = shlex.quote(clean(verdict.failed_at))
        yield f"its log:     lading logs {clean(run.run_id)} --step {step}"


def _when(run: "Run", now: datetime) -> str:
    if run.started_at is None:
        return f"run {run.run_id}, asked for {write_time(run.created_at)} UTC"
    text = f"run {run.run_id}, began {write_time(run.started_at)} UTC"
    if run.ended_at is not None:
        return f"{text}, took {format_duration(run.elapsed_s)}"
    if run.is_aborted:
        heard = run.heartbeat_at or run.started_at
        return f"{text}, last heard of {write_time(heard)} UTC"
    return f"{text}, for {format_duration(max((now - run.started_at).total_seconds(), 0))}"


def write_time(at: datetime) -> str:
    """Write a time of the ledger: ``2026-11-21 20:30:12``."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _target(target: "Target", *, is_told: bool) -> Line:
    """Return a row of the matrix; what its step says as well is not said twice."""
    place = "/".join(filter(None, (target.destination, target.name)))
    return Line(
        cells=(
            target.kind,
            place,
            str(target.planned_files) if target.planned_files else "-",
            format_bytes(target.planned_bytes) if target.planned_bytes else "-",
            target.state,
            write_time(target.verified_at) if target.verified_at else "never",
        ),
        styles={4: STATE_STYLES.get(target.state, "")},
        below=[each for each in (target.url, "" if is_told else target.note) if each],
    )


def _step(step: "Step", now: datetime, *, is_gone: bool) -> Line:
    """Return a step; nothing runs where the process is gone, whatever was written last."""
    state, took, detail = step.state, step.elapsed_s, step.detail
    if state == "running" and is_gone:
        state, detail = "interrupted", f"at {int(step.progress.percent)} %"
    elif state == "running" and step.started_at is not None:
        took = max((now - step.started_at).total_seconds(), 0.0)
        detail = describe_progress(step.progress)
    return Line(
        cells=(step.task, state, format_duration(took) if took else "", detail),
        styles={1: STATE_STYLES.get(state, "")},
    )


def _origin(run: "Run") -> Iterator[tuple[str, str]]:
    yield "tag", run.tag
    yield "commit", run.commit
    yield "manifest", run.manifest_sha256
    yield "DOI", run.doi
    yield "release", str(run.result.get("release_url") or "")
    yield "CI run", run.ci_url
    yield "asked by", run.requested_by
    yield "retry of", run.retry_of
    yield "attempt", str(run.attempt) if run.attempt > 1 else ""
    yield "process", run.owner
    yield "config", run.config_sha256
    yield "lading", run.tool_version
