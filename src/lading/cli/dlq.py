"""``lading dlq``: what failed for good. Shown, sent again, or dropped."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from lading.cli.dlq_view import (
    MOST,
    count,
    name_place,
    render_counts,
    render_letter_in_full,
    render_letters,
)
from lading.config.problems import nearest
from lading.errors import UsageError

if TYPE_CHECKING:
    from lading.jobs.attempt import Outcome
    from lading.jobs.dead_letters import DeadLetters
    from lading.jobs.letters import DeadLetter
    from lading.jobs.redrive import Redrive
    from lading.jobs.settings import JobSettings
    from lading.jobs.spec import Job

_BAD_DATA = 65  # EX_DATAERR
_SIGNALLED = 128
_SHOW_THEM = "`lading dlq list` shows them"


@dataclass(frozen=True, slots=True)
class _Box:
    """The dead letters of a job in a store."""

    job: str
    store_url: str
    letters: "DeadLetters"


def add_dlq(commands: Any) -> None:
    """Add ``dlq`` and what it does to the commands."""
    dlq = commands.add_parser("dlq", help="dead letters: show, retry or drop what failed for good")
    actions = dlq.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show what failed for good")
    listing.add_argument("job", nargs="?", default="", metavar="JOB", help="of this job alone")
    listing.add_argument("--json", action="store_true", help="all of them, as JSON lines")
    listing.set_defaults(act=_list)
    show = actions.add_parser("show", help="show all of a letter, its payload and trace too")
    show.add_argument("id", metavar="ID", help="at least 4 digits of its id")
    show.add_argument("job", nargs="?", default="", metavar="JOB", help="of this job alone")
    show.set_defaults(act=_show)
    retry = actions.add_parser(
        "retry",
        help="do items again, in runs of their own",
        description="Do items again that failed for good: one run for each set of arguments."
        " What is good then has no letters any more.",
        epilog="Exit code: the highest of the runs', see `lading run --help`.",
    )
    retry.add_argument("job", metavar="JOB")
    retry.add_argument("ids", nargs="*", metavar="ID", help="these letters [default: all]")
    retry.set_defaults(act=_retry)
    drop = actions.add_parser("drop", help="remove letters; nothing is done again")
    drop.add_argument("job", metavar="JOB")
    drop.add_argument("ids", nargs="*", metavar="ID")
    drop.add_argument("--all", action="store_true", help="all of the job")
    drop.add_argument("--yes", action="store_true", help="do it, do not only show what would go")
    drop.set_defaults(act=_drop)
    for each in (listing, show, retry, drop):
        each.add_argument(
            "--store",
            action="append",
            default=[],
            metavar="URL",
            help="place that remembers; may be given several times [default: all of jobs.stores]",
        )


def _list(options: argparse.Namespace) -> None:
    if options.json:
        for box, letter in _letters(_open(options)):
            sys.stdout.write(_json_line(box, letter))
        return
    shown: list[DeadLetter] = []
    letters, items, last = Counter[str](), Counter[str](), ("", "", "")
    for box, letter in _letters(_open(options)):
        place = (box.store_url, box.job, letter.item)
        items[box.job] += place != last
        letters[box.job] += 1
        last = place
        if len(shown) < MOST:
            shown.append(letter)
    number = letters.total()
    if not number:
        sys.stdout.write("no dead letters\n")
    elif number > MOST and not options.job:
        sys.stdout.write(render_counts(items, letters))
        sys.stdout.write(f"{count(number, 'letter')}: `lading dlq list JOB` shows those of a job\n")
    else:
        sys.stdout.write(render_letters(shown, number))


def _show(options: argparse.Namespace) -> None:
    box, letter = _select(_open(options), [options.id])[0]
    sys.stdout.write(render_letter_in_full(letter, box.store_url))


def _drop(options: argparse.Namespace) -> None:
    if bool(options.ids) == options.all:
        raise UsageError("dlq drop: expected either ids or --all, got " + _both(options))
    boxes = _open(options)
    chosen = _select(boxes, options.ids) if options.ids else list(_letters(boxes))
    if not chosen:
        sys.stdout.write(f"{options.job}: no dead letters\n")
        return
    if not options.yes:
        sys.stdout.write(render_letters([letter for _, letter in chosen[:MOST]], len(chosen)))
        sys.stdout.write(f"{count(len(chosen), 'letter')} would go: add --yes\n")
        return
    # what was put since is not what was seen: only these ids go
    gone = sum(box.letters.drop({letter.id for of, letter in chosen if of is box}) for box in boxes)
    sys.stdout.write(f"{options.job}: dropped {count(gone, 'letter')}\n")


def _retry(options: argparse.Namespace) -> int:
    # here, as below: `lading init` needs none of it
    from lading.jobs.redrive import plan_redrive  # noqa: PLC0415
    from lading.jobs.registry import load_registry  # noqa: PLC0415

    settings = _settings()
    job = load_registry(settings.jobs.packages, settings.base).find(options.job)
    boxes = _open(options)
    wanted = [letter.id for _, letter in _select(boxes, options.ids)] if options.ids else []
    plans = [
        (box, redrive) for box in boxes for redrive in plan_redrive(box.letters.letters(), wanted)
    ]
    for _, redrive in plans:
        _require_whole(job, redrive)
    if not plans:
        sys.stdout.write(f"{job.name}: no dead letters\n")
        return 0
    return _redrive(job, plans, settings)


def _redrive(job: "Job", plans: "Sequence[tuple[_Box, Redrive]]", settings: "JobSettings") -> int:
    """Do the runs one after another; return the highest exit code. A signal ends them all."""
    from lading.jobs.logs import choose_style  # noqa: PLC0415
    from lading.jobs.running import Order, Telling, run_job  # noqa: PLC0415

    style = choose_style(sys.stdout, "")
    telling = Telling(out=sys.stdout, style=style)
    words = sys.stdout if style == "text" else sys.stderr  # stdout holds nothing but JSON lines
    worst = 0
    for number, (box, redrive) in enumerate(plans, 1):
        order = Order(argv=redrive.arguments, only=redrive.items, retries=redrive.retries)
        outcome = run_job(job, order, settings, telling)
        gone = _resolve(box, job, redrive, outcome)
        words.write(
            f"retry {number} of {len(plans)}: {count(len(redrive.items), 'item')}: ended with"
            f" {outcome.exit_code}; {count(gone, 'letter')} of before resolved by it\n"
        )
        worst = max(worst, outcome.exit_code)
        if outcome.exit_code > _SIGNALLED:
            break
    return worst


def _resolve(box: _Box, job: "Job", redrive: "Redrive", outcome: "Outcome") -> int:
    """Remove the letters that a run has made good and not resolved itself; return how many.

    A run that ended with bad data may have ended before it came to all items. A job that goes
    item by item has resolved those that it did; of another, letters that it put tell that it
    came to an end of its own.
    """
    is_over = outcome.exit_code == 0
    if outcome.exit_code == _BAD_DATA:
        is_by_item = job.spec is not None and job.spec.by_item
        is_over = not is_by_item and any(
            letter.run == outcome.run_id
            for item in redrive.items
            for letter in islice(box.letters.letters(item), 1)
        )
    if not is_over:
        return 0
    return sum(
        box.letters.resolve(item, unless_run=outcome.run_id) for item in sorted(redrive.items)
    )


def _require_whole(job: "Job", redrive: "Redrive") -> None:
    from lading.services.redaction import HIDDEN  # noqa: PLC0415

    if any(HIDDEN in each for each in redrive.arguments):
        raise UsageError(
            f"{job.name}: expected arguments that can be given again, got one whose secret was"
            " taken out",
            hint=f"run it yourself, with items {', '.join(sorted(redrive.items)[:5])} among its"
            " work; secrets belong in variables",
        )


def _settings() -> "JobSettings":
    from lading.jobs.settings import settings_here  # noqa: PLC0415

    return settings_here()


def _open(options: argparse.Namespace) -> list[_Box]:
    """Open the dead letters of the job, or of all, in every store that is asked for.

    Raises:
        UsageError: nobody knows the job.
    """
    from lading.jobs.dead_letters import DeadLetters, list_jobs  # noqa: PLC0415

    settings = _settings()
    boxes = []
    for url in dict.fromkeys(options.store or settings.stores):
        store = settings.open_store(url)
        boxes += [_Box(name, store.url, DeadLetters(store, name)) for name in list_jobs(store)]
    chosen = [each for each in boxes if options.job in {"", each.job}]
    if options.job and not chosen:
        _require_known(options.job, {each.job for each in boxes}, settings)
    return chosen


def _require_known(job: str, others: set[str], settings: "JobSettings") -> None:
    """Tell a job that has no dead letters from one that nobody knows."""
    from lading.jobs.registry import load_registry  # noqa: PLC0415

    known = {each.name for each in load_registry(settings.jobs.packages, settings.base).jobs}
    if job not in known:
        there = ", ".join(sorted(others)) or "none"
        raise UsageError(
            f"job: expected one that there is, got {job!r}{nearest(job, known | others)};"
            f" dead letters have: {there}"
        )


def _letters(boxes: Sequence[_Box]) -> "Iterator[tuple[_Box, DeadLetter]]":
    for box in boxes:
        yield from ((box, letter) for letter in box.letters.letters())


def _select(boxes: Sequence[_Box], beginnings: Sequence[str]) -> "list[tuple[_Box, DeadLetter]]":
    """Return the letters whose ids begin so, each once.

    Raises:
        UsageError: no letter's does, or those of several; all faults at once.
    """
    wanted = list(dict.fromkeys(each.lower() for each in beginnings))
    found: dict[str, list[tuple[_Box, DeadLetter]]] = {each: [] for each in wanted}
    for box in boxes:
        for beginning, letters in box.letters.search(wanted).items():
            found[beginning] += [(box, letter) for letter in letters]
    faults = [
        f"id: expected one letter whose id begins with {beginning!r}, found {_names(letters)}"
        for beginning, letters in found.items()
        if len(letters) != 1
    ]
    if faults:
        raise UsageError("\n".join(faults), hint=_SHOW_THEM)
    return list({letters[0][1].id: letters[0] for letters in found.values()}.values())


def _names(letters: "Sequence[tuple[_Box, DeadLetter]]") -> str:
    named = [
        f"{letter.id} ({letter.job}: {name_place(letter)}, in {box.store_url})"
        for box, letter in letters[:5]
    ]
    return f"{len(letters)}: {', '.join(named)}" if named else "none"


def _json_line(box: _Box, letter: "DeadLetter") -> str:
    from lading.jobs.letters import letter_table  # noqa: PLC0415

    return json.dumps({**letter_table(letter), "store": box.store_url}, sort_keys=True) + "\n"


def _both(options: argparse.Namespace) -> str:
    return "both" if options.ids else "none of both"
