"""What a release tells its people, as the pages and services that show it read it."""

import html
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lading.services.announcement import (
    MAX_ANNOTATIONS,
    SUMMARY_BYTES,
    Announcement,
    Stage,
    format_duration,
    render_annotations,
    render_summary,
)
from lading.services.slack_message import MESSAGE_CHARS, render_message
from tests.fakes.slack import require_message

RESUME = "doit distribute type=nightly tag=nightly-2025-02-05"
STAGES = (
    Stage("fetch", "up to date"),
    Stage("compress_sqlite:weather", "done", "1.2 GB to 0.3 GB", 95.0),
    Stage("upload:gcs-nightly", "failed", "GCS: expected success, got 503", 7.25),
    Stage("promote:gcs-nightly", "not reached", "needs upload:gcs-nightly"),
    Stage("hold:gcs-nightly", "skipped", "staging: hold the objects"),
)
NASTY = (
    "a | b \\| c \\\\| `code` ``x``` <b>bold</b> <!-- --> &amp; &#124; [x](https://evil.example)"
    " ![i](http://evil.example/i.png) @everyone #12 :tada: www.evil.example https://evil.example"
    " someone@evil.example $x$ *s* _e_ ~~d~~ <https://evil.example> <!channel> <@U1|x>\r\n| y |\n"
    "# heading\n```\n::error::injected\n~~~ \u2028 \x1b[31mred\x1b[0m \x07 \udc80 \u202e tail"
)
texts = st.one_of(
    st.text(max_size=60),
    st.text("|\\`<>&@#*_[]()!:/\n\r -~$^x1.", max_size=60),
    st.sampled_from([NASTY, "`" * 50, "😀" * 200, "&" * 400, "<" * 4000, "|" * 2000, ""]),
)
stages = st.builds(
    Stage,
    task=texts,
    state=st.one_of(st.sampled_from(["failed", "done", "skipped", "unchanged"]), texts),
    detail=texts,
    elapsed_s=st.floats(0, 1e6),
)
announcements = st.builds(
    Announcement,
    project=texts,
    title=texts,
    channel=texts,
    tag=texts,
    environment=st.sampled_from(["production", "staging", NASTY]),
    verdict=st.sampled_from(["released", "unchanged", "failed", "interrupted"]),
    stages=st.lists(stages, max_size=30),
    elapsed_s=st.floats(0, 1e6),
    links=st.dictionaries(texts, st.one_of(texts, texts.map("https://example.org/{}".format))),
    resume=texts,
)


def announce(**changes: Any) -> Announcement:
    """Return an announcement of a failed release."""
    given_ones: dict[str, Any] = {
        "project": "weather",
        "title": "Weather",
        "channel": "nightly",
        "tag": "nightly-2025-02-05",
        "environment": "production",
        "verdict": "failed",
        "stages": STAGES,
        "elapsed_s": 185.0,
        "links": {"run": "https://example.org/runs/1?a=1&b=2"},
        "resume": RESUME,
    }
    return Announcement(**{**given_ones, **changes})


def parse(markdown: str) -> list[Any]:
    """Return the tokens of a text in GitHub's Markdown, with the inline ones among them."""
    found = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown):
        found.append(token)
        found += token.children or ()
    return found


def visible(markdown: str) -> str:
    """Return the text that a reader sees."""
    return html.unescape(
        re.sub(
            r"<[^>]*>",
            "",
            MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown),
        )
    )


def blocks_text(announcement: Announcement) -> str:
    """Return all that a Slack message shows."""
    return "\n".join(each["text"]["text"] for each in render_message(announcement)[1])


def test_summary_begins_with_what_failed_and_how_to_resume() -> None:
    """A failed release: which, where, with which error, the command; then the table."""
    summary = render_summary(announce())
    seen = visible(summary)
    order = [
        "Weather nightly nightly-2025-02-05 failed",
        "upload:gcs-nightly failed: GCS: expected success, got 503",
        RESUME,
        "compress_sqlite:weather",
        "Took 3 min 05 s.",
    ]

    assert [seen.index(each) for each in order] == sorted(seen.index(each) for each in order)
    assert f"```\n{RESUME}\n```" in summary
    assert "[run](<https://example.org/runs/1?a=1&amp;b=2>)" in summary


def test_table_shows_failures_first_and_every_reason() -> None:
    """The rows stand by what wants an eye: failed, not reached, skipped, done, the rest."""
    rows = [
        line.split(" | ") for line in render_summary(announce()).splitlines() if line[:1] == "|"
    ]

    assert [row[0].strip("| ") for row in rows[2:]] == [
        *("failed", "not reached", "skipped", "done", "up to date")
    ]
    assert "staging<span>:</span> hold the objects" in rows[4][2]


def test_released_needs_no_command() -> None:
    """A release that ended well shows no command to resume, and no annotation."""
    good = announce(verdict="released", stages=[Stage("fetch", "done")])

    assert RESUME not in render_summary(good) + blocks_text(good)
    assert render_annotations(good) == ""


def test_staging_is_told_first() -> None:
    """What is no production says so at the very beginning, wherever it is shown."""
    staged = announce(environment="staging")
    text, blocks = render_message(staged)

    assert text.startswith("STAGING: Weather")
    assert blocks[0]["text"]["text"].startswith("STAGING: Weather")
    assert render_summary(staged).startswith("## STAGING<span>:</span> Weather")
    assert "STAGING" not in text.replace("STAGING", "", 1)
    assert "PRODUCTION" not in render_message(announce())[0]


def test_thousands_of_unchanged_rows_are_one() -> None:
    """Twenty thousand tasks make short texts within all limits, soon, and no failure is lost."""
    many = [Stage(f"upload:part-{number}", "unchanged", "as it was") for number in range(20_000)]
    began = time.monotonic()
    large = announce(stages=[*many, *STAGES])
    summary, (_, blocks) = render_summary(large), render_message(large)
    annotations = render_annotations(large)

    assert time.monotonic() - began < 5
    assert "<code>20,000 tasks</code>" in summary
    assert len(summary) < 3000
    assert "20,000 tasks" in blocks_text(large)
    assert "upload:gcs-nightly" in blocks[1]["text"]["text"]
    assert annotations.count("::error ") == 1


def test_table_is_cut_between_rows() -> None:
    """Twenty thousand failures stay below the limit, whole row by whole row, the rest counted."""
    many = [Stage(f"é😀-{number}", "failed", NASTY) for number in range(20_000)]
    large = announce(stages=many)
    summary = render_summary(large)
    rows = [line for line in summary.splitlines() if line.startswith("| failed")]
    told = re.search(r"\n([\d,]+) more rows", summary)

    assert len(summary.encode()) <= SUMMARY_BYTES
    assert told is not None
    assert len(rows) + int(told[1].replace(",", "")) == 20_000
    assert all(row.endswith(" |") for row in rows)
    assert "19,995 more tasks failed" in summary
    require_message({"text": render_message(large)[0], "blocks": render_message(large)[1]})


def test_rest_of_a_summary_may_be_small() -> None:
    """A page that others have nearly filled gets the parts that fit, each whole."""
    whole = announce(links={f"link {n}": f"https://example.org/{n}" for n in range(50)})
    for limit in range(0, 3000, 7):
        summary = render_summary(whole, limit)
        assert len(summary.encode()) <= limit
        assert summary.count("```") % 2 == 0
    assert render_summary(whole, 0) == ""
    assert render_summary(whole, 80).startswith("## Weather")


def test_nothing_from_outside_is_markup() -> None:
    """A text full of Markdown, HTML, mentions and links is shown letter by letter."""
    nasty = announce(
        title=NASTY[:60], stages=[Stage(NASTY, "failed", NASTY)], links={NASTY: "javascript:x"}
    )
    summary = render_summary(nasty)

    assert_well_formed(summary, rows=1, links=0)
    assert " ".join(NASTY[:200].split()) in visible(summary)
    assert not re.search(r"[@#]\w|www\.|://(?!example)", re.sub(r"&#\d+;", "", summary))


def assert_well_formed(summary: str, rows: int, links: int) -> None:
    """Check that a summary holds the elements that we made and no other."""
    tokens = parse(summary)
    kinds = [token.type for token in tokens]
    tags = {token.content for token in tokens if token.type == "html_inline"}

    assert kinds.count("tr_open") == (rows + 1 if rows else 0)
    assert kinds.count("td_open") == 4 * rows
    assert kinds.count("link_open") == links
    assert kinds.count("heading_open") == 1
    assert tags <= {"<code>", "</code>", "<span>", "</span>"}
    assert not {"html_block", "image", "code_inline", "em_open", "hr", "blockquote_open"} & {*kinds}
    assert not {"bullet_list_open", "ordered_list_open", "code_block"} & {*kinds}


@settings(max_examples=40, deadline=None)
@given(announcements)
def test_any_summary_is_well_formed(announcement: Announcement) -> None:
    """Whatever the texts hold: one heading, one table of whole rows, our links, our command."""
    summary = render_summary(announcement)
    rows = sum(line.startswith("| ") for line in table_lines(summary))
    fences = [token for token in parse(summary) if token.type == "fence"]
    links = sum(token.type == "link_open" for token in parse(summary))

    assert len(summary.encode()) <= SUMMARY_BYTES
    assert_well_formed(summary, rows=max(rows - 2, 0), links=links)
    assert links <= len(announcement.links)
    assert len(fences) == (announcement.is_open and announcement.resume != "")


def table_lines(summary: str) -> list[str]:
    """Return the lines from the head of the table on, outside of the fence."""
    lines = summary.splitlines()
    head = "| state | task | what | took |"
    return lines[lines.index(head) :] if head in lines else []


@settings(max_examples=40, deadline=None)
@given(announcements, st.integers(0, 3000))
def test_any_limit_of_a_summary_holds(announcement: Announcement, limit: int) -> None:
    """A summary is never longer than it may be, and never cut inside a character."""
    assert len(render_summary(announcement, limit).encode("utf-8", "strict")) <= limit


@settings(max_examples=40, deadline=None)
@given(announcements)
def test_any_message_is_one_that_slack_takes(announcement: Announcement) -> None:
    """Whatever the texts hold, the message has escapes and lengths that Slack accepts."""
    text, blocks = render_message(announcement)

    require_message({"text": text, "blocks": blocks})
    assert sum(len(each["text"]["text"]) for each in blocks) <= MESSAGE_CHARS
    for each in blocks[1:]:
        shown = each["text"]["text"]
        assert shown.count("```") % 2 == 0
        assert all(found.startswith("http") for found in re.findall("<([^>]*)", shown))


@settings(max_examples=40, deadline=None)
@given(announcements)
def test_any_annotation_is_one_line(announcement: Announcement) -> None:
    """Whatever the texts hold, each line is one command, and the runner reads the texts back."""
    lines = render_annotations(announcement).splitlines()
    failed = announcement.failed

    assert len(lines) == (min(max(len(failed), 1), MAX_ANNOTATIONS) if announcement.is_open else 0)
    for line in lines:
        found = re.fullmatch(r"::error title=([^:,]*)::(.*)", line)
        assert found
        assert not re.search(r"%(?!25|0A|0D|3A|2C)", found[1] + found[2])


def test_annotation_holds_error_and_command() -> None:
    """An annotation has the task as title, then the error and the command, escaped."""
    stages = [Stage("upload:gcs,s3", "failed", "100% lost,\r\nreally: yes")]

    assert render_annotations(announce(stages=stages)) == (
        "::error title=upload%3Agcs%2Cs3 failed::100%25 lost,%0D%0Areally: yes%0ATo"
        f" resume: {RESUME}\n"
    )


def test_annotations_are_ten_at_most() -> None:
    """Of more failures than GitHub shows, the tenth line tells how many there are."""
    failed = [Stage(f"upload:{number}", "failed", "no") for number in range(40)]
    lines = render_annotations(announce(stages=failed)).splitlines()

    assert len(lines) == MAX_ANNOTATIONS
    assert lines[-1].startswith("::error title=31 more tasks failed::")


def test_interrupted_run_has_an_annotation_too() -> None:
    """A run that was interrupted without a failure still shows how to go on."""
    lines = render_annotations(announce(verdict="interrupted", stages=[Stage("a", "interrupted")]))

    assert lines.startswith("::error title=Weather nightly nightly-2025-02-05 interrupted::")
    assert RESUME in lines


def test_message_begins_with_what_failed() -> None:
    """On a phone: the notification names task and error; then the command, then the table."""
    text, blocks = render_message(announce())
    shown = [each["text"]["text"] for each in blocks]

    assert text == (
        "Weather nightly nightly-2025-02-05 failed:"
        " upload:gcs-nightly: GCS: expected success, got 503"
    )
    assert shown[1].startswith("*upload:gcs-nightly* failed\n```\nGCS: expected success, got 503")
    assert shown[2].endswith(f"```\n{RESUME}\n```")
    assert shown[3].splitlines()[1].startswith("failed     upload:gcs-nightly")
    assert "skipped    hold:gcs-nightly  staging: hold the objects" in shown[3]
    assert shown[4] == "Took 3 min 05 s · <https://example.org/runs/1?a=1&amp;b=2|run>"


def test_many_done_tasks_are_folded_on_a_phone() -> None:
    """Of many tasks that were done the message tells the number and their time."""
    done = [Stage(f"upload:{number}", "done", "sent", 2.0) for number in range(30)]

    assert "done       30 tasks  1 min 00 s" in blocks_text(announce(stages=[*STAGES[2:], *done]))


def test_no_secret_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of the environment is in no text of an announcement, and so in nothing shown."""
    canary = 'canary"&<|1234567'
    monkeypatch.setenv("SOME_TOKEN", canary)
    leaky = announce(
        stages=[Stage(f"up:{canary}", "failed", f"{canary} xoxb-12345678-abc")],
        links={canary: f"https://example.org/{canary}", "b": "https://u:pw@example.org"},
        resume=f"doit {canary}",
        title=canary,
    )
    shown = [render_summary(leaky), render_annotations(leaky), *map(str, render_message(leaky))]

    assert "canary" not in repr(leaky) + "".join(shown)
    assert "xoxb-" not in repr(leaky)
    assert "u:pw" not in repr(leaky)
    assert list(leaky.links)[1] == "b"
    assert leaky.stages[0].task == "up:***"


def test_secret_with_a_line_end_moves_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that ends in line ends takes nothing from the text after it."""
    monkeypatch.setenv("SOME_TOKEN", "canary-1234567\n\n")
    leaky = announce(stages=[Stage("a-canary-1234567", "failed", "b"), Stage("c", "done", "d")])

    assert [(each.task, each.detail) for each in leaky.stages] == [("a-***", "b"), ("c", "d")]


def test_texts_beside_each_other_make_no_secret() -> None:
    """The end of one text and the beginning of the next are not read as a URL's password."""
    stages = [Stage("a", "failed", "https://x"), Stage("y@z", "done", "")]

    assert [each.task for each in announce(stages=stages).stages] == ["a", "y@z"]


def test_control_characters_are_gone() -> None:
    """Colours, bells, turned text and broken characters are in no text."""
    assert announce(resume="a\x1b[31mb\x1b[0m\x07c\u202ed\udc80").resume == "ab c d?"


def test_command_with_fences_stays_in_its_own() -> None:
    """A command that holds a fence is shown as it is, within a longer one."""
    command = "doit x\n```\n# heading\n````"
    tokens = parse(render_summary(announce(resume=command)))

    assert [each.content for each in tokens if each.type == "fence"] == [command + "\n"]


def test_long_and_many_links_are_dropped_whole() -> None:
    """A URL that is too long for a link is none, and of too many the first stay, each whole."""
    long = announce(links={"a": "https://example.org/" + "x" * 600})
    many = announce(links={f"{n}": "https://example.org/" + "x" * 300 for n in range(40)})
    shown = render_message(many)[1][-1]["text"]["text"]

    assert "](<" not in render_summary(long)
    assert "<http" not in blocks_text(long)
    assert shown.count("<https://") == shown.count(">") == 3


def test_long_table_on_a_phone_is_counted() -> None:
    """Rows for which a message has no room are counted, and none is cut."""
    skipped = [Stage(f"hold:{n}", "skipped", "staging: hold " + "x" * 50) for n in range(200)]
    table = render_message(announce(stages=skipped))[1][2]["text"]["text"].splitlines()[1:-1]

    assert table[-1] == f"{200 - len(table) + 1} more rows"
    assert all(row.endswith("x" * 50) for row in table[:-1])


def test_header_counts_as_slack_may() -> None:
    """A headline of characters beyond the first plane is short enough in UTF-16 too."""
    text, blocks = render_message(announce(title="😀" * 200))

    require_message({"text": text, "blocks": blocks})
    assert blocks[0]["text"]["text"].endswith("…")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, words: str) -> None:
    """A duration is written as in the closing table."""
    assert format_duration(seconds) == words
