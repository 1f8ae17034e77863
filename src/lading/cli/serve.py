"""``lading serve`` and ``lading worker``: what happened, shown; publishing by request."""

import argparse
import dataclasses
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lading.cli.ledger_here import add_config, place_here

if TYPE_CHECKING:
    from lading.web.served import Served


def add_serve(commands: Any) -> None:
    """Add ``serve`` and ``worker`` to the commands."""
    serve = commands.add_parser(
        "serve", help="serve the page and the API, and publish what is asked for"
    )
    serve.add_argument(
        "--host",
        type=_host,
        default="127.0.0.1",
        help="interface to listen on [default: 127.0.0.1]",
    )
    serve.add_argument(
        "--port", type=_port, default=8470, help="port to listen on, 0 for any [default: 8470]"
    )
    serve.add_argument(
        "--workers",
        type=_count,
        default=None,
        metavar="N",
        help="publishes at one time, 0 for none [default: web.workers]",
    )
    serve.add_argument("--open", action="store_true", help="let everyone read without a token")
    add_config(serve)
    serve.set_defaults(act=_serve)
    worker = commands.add_parser(
        "worker", help="publish what is asked for, on a host that serves nothing"
    )
    add_config(worker)
    worker.add_argument("--slot", type=_count, default=None, help=argparse.SUPPRESS)
    worker.add_argument("--server", default="", help=argparse.SUPPRESS)
    worker.set_defaults(act=_work)


def _serve(options: argparse.Namespace) -> None:
    served = _load(options)
    if options.open:
        served = dataclasses.replace(served, web=served.web.model_copy(update={"open": True}))
    workers = served.web.workers if options.workers is None else options.workers
    from lading.web.serve import Address, serve  # noqa: PLC0415  no other command needs a server

    address = Address(host=options.host, port=options.port)
    serve(served, address, workers, _say, config_name=_config_path(options))


def _work(options: argparse.Namespace) -> None:
    from lading.ledger.ledger import open_ledger  # noqa: PLC0415  as above
    from lading.storage.owner import name_owner  # noqa: PLC0415
    from lading.web.job import Bench, Stopping  # noqa: PLC0415
    from lading.web.slots import hold, hold_first, slot_path  # noqa: PLC0415
    from lading.web.worker import Worker  # noqa: PLC0415

    served = _load(options)
    if options.slot is None:
        _, held = hold_first(served.work)
    elif (taken := hold(slot_path(served.work, options.slot))) is not None:
        held = taken
    else:
        return  # another was quicker
    stopping = Stopping()
    stopping.install()
    ledger = open_ledger(served.url)
    try:
        bench = Bench(
            served=served,
            ledger=ledger,
            stopping=stopping,
            say=_say,
            config_name=_config_path(options),
        )
        _say(f"{name_owner()} publishes {', '.join(served.projects)}")
        Worker(bench, server=options.server).work()
    finally:
        ledger.close()
        held.close()


def _load(options: argparse.Namespace) -> "Served":
    from lading.web.served import load_served  # noqa: PLC0415  as above

    place_here(options)  # refuses a configuration that wants no ledger
    return load_served(Path.cwd(), options.config)


def _config_path(options: argparse.Namespace) -> str:
    """Return the configuration that was named, for processes that begin in another folder."""
    return str(Path(options.config).resolve()) if options.config else ""


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) > 64:  # noqa: PLR2004  as web.workers
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 64, got {text!r}")
    return int(text)


def _host(text: str) -> str:
    if not text:  # sockets take it for all interfaces
        raise argparse.ArgumentTypeError("expected an interface, got ''")
    return text


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65_535:  # noqa: PLR2004  of TCP
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)
