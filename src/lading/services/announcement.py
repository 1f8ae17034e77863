"""What a release tells its people, and how it looks in GitHub: summary and annotations. No I/O.

All of it begins with what a person asks first: did it fail, where, with which error,
and which command resumes it. What comes from outside is escaped, and cut, never trusted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import quote

from lading.ledger.model import Target
from lading.services.redaction import redact

Verdict = Literal["released", "unchanged", "failed", "interrupted"]

SUMMARY_BYTES = 900_000
"""GitHub drops the whole summary of a step over 1 MiB."""
MAX_ANNOTATIONS = 10
"""GitHub shows no more errors of one step."""

_FIRST = ("failed", "interrupted", "not reached", "left to you", "skipped", "done")
_FOLDED = {"unchanged": 10, "up to date": 10}
_TOLD_FAILURES = 5
_TITLE, _NAME, _ERROR, _DETAIL, _COMMAND, _URL = 200, 120, 1500, 300, 2000, 500
_VERDICTS = {
    "released": "released",
    "unchanged": "unchanged, nothing to do",
    "failed": "failed",
    "interrupted": "interrupted",
}

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# all but tab and line ends: they could hide, reorder or end what stands around them
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"[&<>\"\\`*_{}\[\]|~!$^]")
_REFERENCE = re.compile(r"[@#:]|(?<=www)\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stage:
    """One task of a release, as its closing table shows it."""

    task: str
    """Name of the task."""
    state: str
    """As in the closing table: done, unchanged, up to date, skipped, failed, not reached..."""
    detail: str = ""
    """What was done, or why not."""
    elapsed_s: float = 0.0
    """How long it took, in seconds; 0 where it did not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What is told of one run of a release. Holds no secret: all texts are redacted when made."""

    project: str
    """Name of the project."""
    title: str
    """What people call the data; the project's name where empty."""
    channel: str
    """Channel of the release."""
    tag: str
    """Tag of the release."""
    environment: str
    """Production or staging."""
    verdict: Verdict
    """How the run ended."""
    stages: Sequence[Stage]
    """Its tasks, in their order."""
    elapsed_s: float
    """How long the run took, in seconds."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Name to URL."""
    resume: str = ""
    """The command that resumes it; shown where it failed or was interrupted."""
    standing: str = ""
    """The verdict in one line, such as which prefixes are switched; of a run that has ended."""
    targets: Sequence[Target] = ()
    """What it was to change, and how that stands; of a run that has ended."""

    def __post_init__(self) -> None:
        """Take secrets and control characters out of every text, all in one go."""
        names = ("project", "title", "channel", "tag", "environment", "resume", "standing")
        texts = [getattr(self, name) for name in names]
        texts += [text for pair in self.links.items() for text in pair]
        texts += [text for each in self.stages for text in (each.task, each.state, each.detail)]
        texts += [text for each in self.targets for text in (each.destination, each.name)]
        clean = iter(_cleaned(texts))
        for name in names:
            object.__setattr__(self, name, next(clean))
        object.__setattr__(self, "links", {next(clean): next(clean) for _ in self.links})
        stages = [
            replace(each, task=next(clean), state=next(clean), detail=next(clean))
            for each in self.stages
        ]
        object.__setattr__(self, "stages", tuple(stages))
        targets = [replace(e, destination=next(clean), name=next(clean)) for e in self.targets]
        object.__setattr__(self, "targets", tuple(targets))

    @property
    def headline(self) -> str:
        """Which release, and how it ended; what is no production says so first."""
        mark = "" if self.environment == "production" else f"{self.environment.upper()}: "
        name = cut(f"{self.title or self.project} {self.channel} {self.tag}", _NAME)
        return one_line(f"{cut(mark, 30)}{name} {_VERDICTS[self.verdict]}")

    @property
    def failed(self) -> list[Stage]:
        """The tasks that failed."""
        return [each for each in self.stages if each.state == "failed"]

    @property
    def is_open(self) -> bool:
        """Whether there is something to resume."""
        return self.verdict in {"failed", "interrupted"}


def render_summary(announcement: Announcement, limit_bytes: int = SUMMARY_BYTES) -> str:
    """Render a GitHub job summary: the verdict, what failed, how to resume, the stage table.

    Args:
        announcement: what is told.
        limit_bytes: how long it may be in UTF-8. Rows of the table go first, then whole parts:
            what is left is always well-formed, and may be "".

    Returns:
        GitHub-flavoured Markdown that ends in a newline. What came from outside neither makes
        nor closes an element, links nowhere, mentions nobody.
    """
    links = [_markdown_link(*each) for each in announcement.links.items()]
    took = f"Took {format_duration(announcement.elapsed_s)}."
    head = [f"## {_plain(announcement.headline)}\n", *_markdown_failures(announcement)]
    if announcement.is_open and announcement.standing:
        head.append(f"{_plain(cut(announcement.standing, _ERROR))}\n")
    if announcement.is_open and announcement.resume:
        head.append(f"To resume, run the same command:\n\n{_fence(announcement.resume)}\n")
    tail = [" · ".join([took, *links]) + "\n"]
    left = limit_bytes
    kept = []
    for part in (*head, *tail):
        if (size := len(part.encode()) + 1) <= left:
            kept.append(part)
            left -= size
    at = len(kept) if not kept or kept[-1] != tail[0] else len(kept) - 1
    matrix = _markdown_matrix(announcement.targets, left)
    left -= len("".join(matrix).encode())
    kept[at:at] = matrix + _markdown_table(order_stages(announcement.stages, _FOLDED), left)
    return "\n".join(kept)


def render_annotations(announcement: Announcement) -> str:
    """Render workflow commands that mark a GitHub run: an ``::error`` for each failed task.

    Returns:
        At most ten lines, each ended; "" where there is nothing to resume.
        Source: GitHub Docs, "Workflow commands for GitHub Actions".
    """
    if not announcement.is_open:
        return ""
    headline, failed = announcement.headline, announcement.failed
    told = [(f"{each.task} failed", each.detail) for each in failed]
    if len(told) > MAX_ANNOTATIONS:
        rest = len(told) - MAX_ANNOTATIONS + 1
        told[MAX_ANNOTATIONS - 1 :] = [(f"{rest} more tasks failed", "see the job summary")]
    resume = f"\nTo resume: {cut(announcement.resume, _COMMAND)}" if announcement.resume else ""
    lines = []
    for title, detail in told or [(headline, "")]:
        text = cut(detail, _ERROR) or headline
        lines.append(
            f"::error title={_property(cut(title, _TITLE))}::{_command_data(text + resume)}\n"
        )
    return "".join(lines)


def _cleaned(texts: Sequence[str]) -> list[str]:
    """Clean all texts in one look for secrets: of twenty thousand, each would take its while."""
    plain = (
        _CONTROL.sub(" ", _COLOUR.sub("", each)).encode("utf-8", "replace").decode()
        for each in texts
    )
    # no text and no secret holds a NUL by now, and no secret is seen across line ends
    joined = redact("\n\0\n".join(plain))
    return [each.removeprefix("\n").removesuffix("\n") for each in f"\n{joined}\n".split("\0")]


def order_stages(stages: Iterable[Stage], folded: Mapping[str, int]) -> list[Stage]:
    """Put first what wants an eye, and fold a state of too many tasks into one row."""
    by_state: dict[str, list[Stage]] = {state: [] for state in _FIRST}
    for each in stages:
        by_state.setdefault(each.state, []).append(each)
    rows: list[Stage] = []
    for state, alike in by_state.items():
        if len(alike) > folded.get(state, len(alike)):
            took = sum(each.elapsed_s for each in alike)
            rows.append(Stage(f"{len(alike):,} tasks", state, "", took))
        else:
            rows += alike
    return rows


def _markdown_failures(announcement: Announcement) -> Iterator[str]:
    failed = announcement.failed
    for each in failed[:_TOLD_FAILURES]:
        name, error = _plain(cut(each.task, _NAME)), _plain(cut(each.detail, _ERROR))
        yield f"<code>{name}</code> **failed**: {error or 'no word of why'}\n"
    if len(failed) > _TOLD_FAILURES:
        yield f"{len(failed) - _TOLD_FAILURES:,} more tasks failed.\n"


def _markdown_table(rows: Sequence[Stage], limit_bytes: int) -> list[str]:
    """Return the table as one part of the summary, or none where not one row has room."""
    lines = ["| state | task | what | took |", "| --- | --- | --- | ---: |"]
    room = limit_bytes - len("".join(lines)) - 64  # of the line that tells of the others
    shown = 0
    for each in rows:
        took = format_duration(each.elapsed_s) if each.elapsed_s else ""
        cells = (
            _plain(cut(each.state, _NAME)),
            f"<code>{_plain(cut(each.task, _NAME))}</code>",
            _plain(cut(each.detail, _DETAIL)),
            took,
        )
        line = f"| {' | '.join(cells)} |"
        room -= len(line.encode()) + 1
        if room < 0:
            break
        lines.append(line)
        shown += 1
    if not shown:
        return []
    if shown < len(rows):
        lines += ["", f"{len(rows) - shown:,} more rows, left out for their size."]
    return ["\n".join(lines) + "\n"]


def _markdown_matrix(targets: Sequence[Target], limit_bytes: int) -> list[str]:
    """Return what each place holds by now as one part of the summary, or none."""
    lines = ["| place | stands | files | verified at |", "| --- | --- | ---: | --- |"]
    for each in targets:
        what = f"{each.destination}/{each.name}" if each.destination else each.kind
        at = f"{each.verified_at:%Y-%m-%d %H:%M:%S} UTC" if each.verified_at else ""
        files = f"{each.planned_files:,}" if each.planned_files else ""
        name = f"<code>{_plain(cut(what, _NAME))}</code>"
        lines.append(f"| {name} | {_plain(f'{each.kind} {each.state}')} | {files} | {at} |")
    text = "\n".join(lines) + "\n"
    return [text] if targets and len(text.encode()) < limit_bytes else []


def _plain(text: str) -> str:
    """Write a text on one line so that Markdown, HTML and GitHub's references see only words.

    A span parts what GitHub would read as a mention, an issue, an emoji or a URL: it looks at
    one text node at a time, after entities were resolved.
    """
    line = _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", one_line(text))
    # '#' of an entity is no reference, and an entity holds none of the others
    parts = re.split(r"(&#\d+;)", line)
    return "".join(
        each if index % 2 else _REFERENCE.sub(lambda found: f"<span>{found[0]}</span>", each)
        for index, each in enumerate(parts)
    )


def _fence(text: str) -> str:
    text = cut(text, _COMMAND)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _markdown_link(name: str, url: str) -> str:
    name, safe = _plain(cut(name, _NAME)), safe_url(url)
    if not safe:
        return f"{name}: {_plain(cut(url, _URL))}"
    return f"[{name}](<{safe.replace('&', '&amp;')}>)"


def _property(text: str) -> str:
    return _command_data(text).replace(":", "%3A").replace(",", "%2C")


def _command_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def safe_url(url: str) -> str:
    """Return a URL of which no character means anything to those who render it, or ""."""
    safe = quote(url, safe=":/?#@!$&'*+,;=%~")
    return safe if safe.startswith(("https://", "http://")) and len(safe) <= _URL else ""


def one_line(text: str) -> str:
    """Return a text with a single space for each run of white space."""
    return " ".join(text.split())


def cut(text: str, limit: int) -> str:
    """Return the beginning of a text, in characters, and show that it was longer."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def format_duration(seconds: float) -> str:
    """Write a duration as the closing table does: ``0.4 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if round(seconds, 1) < 60:  # noqa: PLR2004  a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004  an hour
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
