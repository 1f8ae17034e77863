"""``lading audit``: who ran what, and whether the trail of it is whole."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lading.errors import AuditError


def add_audit(commands: Any) -> None:
    """Add ``audit`` and what it does to the commands."""
    audit = commands.add_parser("audit", help="what jobs did: show the trail, or prove it whole")
    actions = audit.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="show what runs did, oldest first")
    show.add_argument("job", nargs="?", default="", metavar="JOB", help="of this job alone")
    show.add_argument(
        "--run", dest="run_id", default="", metavar="ID", help="of the runs whose id begins so"
    )
    show.add_argument("--json", action="store_true", help="JSON lines, as OpenLineage has events")
    show.set_defaults(act=_show)
    verify = actions.add_parser("verify", help="read every event, and prove that none was changed")
    verify.set_defaults(act=_verify)
    for each in (show, verify):
        each.add_argument(
            "--store",
            action="append",
            default=[],
            metavar="URL",
            help="place that remembers; may be given several times [default: all of jobs.stores]",
        )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Events that are to be shown, and what is wrong with others."""

    found: list[tuple[Any, bytes]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def _show(options: argparse.Namespace) -> None:
    chosen = _Chosen()
    for store in _stores(options):
        _choose(store, options, chosen)
    chosen.found.sort(key=lambda each: (each[0].at, each[0].link.stream, each[0].link.sequence))
    if options.json:
        sys.stdout.write("".join(line.decode() for _, line in chosen.found))
    else:
        _print_table([each for each, _ in chosen.found])
    if chosen.faults:
        raise AuditError("\n".join(chosen.faults), hint="see `lading audit verify`")


def _verify(options: argparse.Namespace) -> None:
    # here, as below: `lading init` needs none of it
    from lading.jobs.audit_verify import verify_audit  # noqa: PLC0415

    faults: list[str] = []
    for store in _stores(options):
        report = verify_audit(store)
        faults += report.faults
        if not report.faults:
            events, streams = _count(report.events, "event"), _count(report.streams, "stream")
            sys.stdout.write(f"{events} in {streams} of {store.url}: whole\n")
    if faults:
        raise AuditError("\n".join(faults))


def _stores(options: argparse.Namespace) -> Iterator[Any]:
    """Open the stores that are asked for, each once."""
    from lading.jobs.settings import settings_here  # noqa: PLC0415

    settings = settings_here()
    for url in dict.fromkeys(options.store or settings.stores):
        yield settings.open_store(url)


def _choose(store: Any, options: argparse.Namespace, chosen: _Chosen) -> None:
    from lading.jobs.audit import list_events, read_objects  # noqa: PLC0415
    from lading.jobs.audit_events import event_key, parse_event  # noqa: PLC0415

    numbers = list_events(store)
    places = [(stream, number) for stream in numbers for number in numbers[stream]]
    objects = read_objects(store, [event_key(*each) for each in places])
    for place, line in zip(places, objects, strict=True):
        try:
            event = parse_event(line or b"", *place)
        except ValueError as error:
            chosen.faults.append(f"{store.url.rstrip('/')}/{event_key(*place)}: {error}")
            continue
        is_of_job = options.job in {"", event.event["job"]["name"]}
        if is_of_job and event.run_id.startswith(options.run_id.lower()):
            chosen.found.append((event, line or b""))


def _print_table(events: list[Any]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not events:
        console.print("no events")
        return
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("time (UTC)", "type"):
        table.add_column(name, no_wrap=True)
    table.add_column("job", overflow="fold", min_width=8)
    for name in ("try", "run"):
        table.add_column(name, no_wrap=True)
    table.add_column("who", overflow="fold", min_width=6)
    table.add_column("out", no_wrap=True, justify="right")
    table.add_column("message", overflow="fold", min_width=10)
    for event in events:
        table.add_row(*_cells(event))
    console.print(table)


def _cells(event: Any) -> list[Any]:
    from rich.text import Text  # noqa: PLC0415

    from lading.jobs.events import count_objects  # noqa: PLC0415

    facet = event.event["run"]["facets"]["lading"]
    texts = (
        f"{event.at:%Y-%m-%d %H:%M:%S}",
        event.kind,
        event.event["job"]["name"],
        facet.get("attempt", ""),
        event.run_id[:8],
        facet.get("who", ""),
        count_objects(event.event, "outputs"),
        event.outcome.get("message", ""),
    )
    return [Text(_visible(str(each))) for each in texts]


def _visible(text: str) -> str:
    """Take out what would steer a terminal: anybody's data may stand in a message."""
    return "".join(char if char.isprintable() else " " for char in text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
