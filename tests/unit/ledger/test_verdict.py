"""What became of a run, in one line: by a table, and by what holds for all runs."""

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.ledger.model import ENDED, Run, RunState, StepState, Target
from lading.ledger.verdict import OPEN, SETTLED, Word, judge, name_subject, switched
from tests.unit.ledger.made_runs import COMMAND, make_run, make_step, make_target

OLD = (make_target("gcs/nightly", "not reached"), make_target("s3/nightly", "not reached"))
HALF = (make_target("gcs/nightly", "done"), make_target("s3/nightly", "not reached"))
NEW = (make_target("gcs/nightly", "done"), make_target("s3/nightly", "up to date"))
TABLE: dict[str, tuple[Run, Word, str]] = {
    "queued": (make_run("queued"), "queued", "queued: it waits for a worker"),
    "running": (make_run("running"), "running", "running"),
    "running at several": (
        make_run("running", steps=[make_step(f"upload:{each}", "running") for each in "abcde"]),
        "running",
        "running at upload:a, upload:b, upload:c and 2 more",
    ),
    "asked to stop": (
        make_run("running", is_cancelling=True, steps=[make_step("fetch", "running")]),
        "running",
        "running at fetch; it was asked to stop",
    ),
    "published": (
        make_run(steps=[make_step("fetch", "unchanged"), make_step("promote:a-b", "done")]),
        "published",
        "published: every object was read back",
    ),
    "unchanged": (
        make_run(steps=[make_step("fetch", "unchanged"), make_step("hold:a-b", "skipped")]),
        "unchanged",
        "unchanged: it was published before, nothing was to be done",
    ),
    "no release": (make_run(is_release=False, kind="check"), "done", "done: check"),
    "failed": (
        make_run("failed", failed_at="upload:s3-nightly", targets=OLD),
        "failed",
        "failed at upload:s3-nightly; nothing public was changed by this run",
    ),
    "failed while it switched": (
        make_run(
            "failed",
            steps=[make_step("promote:gcs-nightly", "failed", "no such bucket")],
            targets=(make_target("gcs/nightly", "failed"), OLD[1]),
        ),
        "failed",
        "failed at promote:gcs-nightly; gcs/nightly may be half switched, s3/nightly is as before",
    ),
    "partial": (
        make_run("failed", failed_at="promote:s3-nightly", targets=HALF),
        "partial",
        (
            "partial: failed at promote:s3-nightly; gcs/nightly has the release, s3/nightly is as"
            " before"
        ),
    ),
    "partial of many": (
        make_run(
            "failed",
            targets=[
                *(make_target(f"gcs/{each}", "done") for each in "abcde"),
                *(make_target(f"s3/{each}", "not reached") for each in "ab"),
            ],
        ),
        "partial",
        (
            "partial: failed; gcs/a, gcs/b, gcs/c and 2 more have the release, s3/a and s3/b are as"
            " before"
        ),
    ),
    "after the switch": (
        make_run("failed", failed_at="zenodo", targets=NEW),
        "partial",
        (
            "partial: failed at zenodo; every public prefix has the release, what comes after is"
            " not done"
        ),
    ),
    "interrupted": (
        make_run("failed", exit_code=143, steps=[make_step("check", "interrupted")], targets=OLD),
        "interrupted",
        "interrupted at check; nothing public was changed by this run",
    ),
    "aborted": (
        make_run("running", is_aborted=True, steps=[make_step("fetch", "running")], targets=OLD),
        "aborted",
        "aborted at fetch: its process is gone, or silent; nothing public was changed by this run",
    ),
    "aborted job": (
        make_run("running", is_aborted=True, requested_by="ci", is_release=False),
        "aborted",
        "aborted: its process is gone, or silent; a worker takes it up again",
    ),
    "aborted while it switched": (
        make_run(
            "running",
            is_aborted=True,
            steps=[make_step("promote:s3-nightly", "running")],
            targets=(HALF[0], make_target("s3/nightly", "running")),
        ),
        "partial",
        (
            "partial: aborted at promote:s3-nightly: its process is gone, or silent; gcs/nightly"
            " has the release, s3/nightly may be half switched"
        ),
    ),
    "cancelled": (
        make_run("cancelled", steps=[make_step("check", "interrupted")], targets=OLD),
        "cancelled",
        "cancelled at check; nothing public was changed by this run",
    ),
    "cancelled in the queue": (
        make_run("cancelled", started_at=None),
        "cancelled",
        "cancelled before it began",
    ),
    "nothing is known of its targets": (make_run("failed"), "failed", "failed"),
    "failed beside a release": (
        make_run("failed", failed_at="plan", is_release=False, targets=OLD),
        "failed",
        "failed at plan",
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_judge(name: str) -> None:
    """Each way to end, or not to end, has its word and its sentence."""
    run, word, sentence = TABLE[name]
    verdict = judge(run)
    assert (verdict.word, verdict.sentence) == (word, sentence)


def test_judge_tells_why_and_how_to_go_on() -> None:
    """Where the run says no error, its first failed step does; the command stands beside it."""
    steps = [make_step("check", "failed", "too few rows"), make_step("fetch", "failed", "other")]
    verdict = judge(make_run("failed", steps=steps))
    assert (verdict.failed_at, verdict.error) == ("check", "too few rows")
    assert verdict.resume == COMMAND
    told = judge(make_run("failed", failed_at="fetch", error="no disk", steps=steps))
    assert (told.failed_at, told.error) == ("fetch", "no disk")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "demo nightly nightly-2025-02-05"),
        ({"environment": "staging"}, "demo nightly nightly-2025-02-05 (staging)"),
        ({"channel": "dev", "environment": "dev", "tag": "7"}, "demo dev 7"),
        ({"channel": "", "tag": "", "environment": ""}, "demo"),
    ],
)
def test_name_subject(facts: dict[str, Any], expected: str) -> None:
    """A run is named by what it is about; production, and what the channel says, go unsaid."""
    assert name_subject(make_run(**facts)) == expected


targets = st.lists(
    st.builds(
        make_target,
        st.sampled_from(["gcs/nightly", "s3/nightly", "gcs/eel-hole", "s3/eel-hole"]),
        st.sampled_from(get_args(StepState)),
        st.sampled_from(["promote", "promote", "upload", "hold"]),
    ),
    max_size=6,
)
runs = st.builds(
    make_run,
    st.sampled_from(get_args(RunState)),
    is_aborted=st.booleans(),
    is_release=st.booleans(),
    exit_code=st.sampled_from([None, 0, 1, 2, 130, 137, 143]),
    failed_at=st.sampled_from(["", "check", "promote:s3-nightly"]),
    steps=st.lists(
        st.builds(make_step, st.sampled_from("abc"), st.sampled_from(get_args(StepState)))
    ),
    targets=targets,
)


@settings(max_examples=60)
@given(runs)
def test_a_verdict_is_one_line_that_begins_with_its_word(run: Run) -> None:
    """Whoever reads only the first word, or cuts the line, is told the truth."""
    verdict = judge(run)
    assert verdict.sentence.partition(" ")[0].rstrip(":;") == verdict.word
    assert verdict.sentence.isprintable()


@settings(max_examples=60)
@given(runs)
def test_a_verdict_is_open_where_a_run_ended_early(run: Run) -> None:
    """Something is to be resumed where it failed, was cancelled, or its process is gone."""
    is_early = run.state in ENDED - {"completed"} or (run.state == "running" and run.is_aborted)
    verdict = judge(run)
    assert verdict.is_open == is_early == (verdict.word in OPEN)
    assert bool(verdict.resume) == is_early


@settings(max_examples=60)
@given(runs)
def test_published_means_that_a_release_completed(run: Run) -> None:
    """No run that failed, goes on, or is no release is ever called published or unchanged."""
    is_out = judge(run).word in {"published", "unchanged"}
    assert is_out == (run.is_release and run.state == "completed")


@settings(max_examples=60)
@given(runs)
def test_nothing_public_was_changed_is_said_only_where_it_is_so(run: Run) -> None:
    """The promise is made only where no switch of a public prefix was ever begun."""
    if "nothing public was changed" in judge(run).sentence:
        public = {each.state for each in run.targets if each.kind == "promote"}
        assert public <= {"not reached", "skipped"}
        assert public


@settings(max_examples=60)
@given(runs)
def test_partial_means_that_a_prefix_is_switched(run: Run) -> None:
    """A release that ended early is partial where, and only where, readers see it somewhere."""
    verdict = judge(run)
    done, _ = switched(run.targets)
    assert (verdict.word == "partial") == (verdict.is_open and run.is_release and bool(done))


@settings(max_examples=40)
@given(targets)
def test_switched_parts_the_public_prefixes(rows: list[Target]) -> None:
    """Each promotion is in one of both parts, and nothing else is."""
    done, rest = switched(rows)
    assert len(done) + len(rest) == sum(each.kind == "promote" for each in rows)
    assert all(each.state in SETTLED for each in done)
    assert all(each.state not in SETTLED for each in rest)
