"""The server: one address, the application behind it, and workers beside it."""

import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from lading.errors import LadingError, RefusedError, UsageError
from lading.ledger.ledger import Ledger, open_ledger
from lading.web.served import Served
from lading.web.slots import Held, hold, server_path
from lading.web.supervise import Supervisor

PORT = 8470
GRACE_S = 4
"""Seconds that requests which are under way, and live streams, have when the server ends."""
KEEP_S = 30
"""Seconds that a connection on which nothing is asked stays open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens."""

    host: str = "127.0.0.1"
    """Name or address of the interface."""
    port: int = PORT
    """The port; 0 for any that is free."""


def serve(
    served: Served,
    address: Address,
    workers: int,
    say: Callable[[str], None],
    *,
    config_name: str = "",
) -> None:
    """Serve until SIGTERM or SIGINT; workers go on until their queue is empty.

    Args:
        served: what is served.
        address: where.
        workers: how many publishes there may be at one time.
        say: is told the address, and what to take care of, in lines.
        config_name: configuration of the folder that is served, where it is not the usual one.

    Effects: a socket; the ledger is made where there is none; worker processes.

    Raises:
        LadingError: the port is taken, the ledger cannot be opened.
        RefusedError: another server is at work for this folder.
        UsageError: the extra `web` is not installed.
    """
    require_extra()
    ledger = open_ledger(served.url)
    try:
        held = _hold_server(served)
        try:
            with _listen(address) as listener:
                _tell(served, listener, address, say)
                supervisor = Supervisor(served, workers, say, config_name)
                supervisor.start()
                try:
                    _run(served, ledger, listener)
                finally:
                    supervisor.close()
        finally:
            held.close()
    finally:
        ledger.close()


def require_extra() -> None:
    """Do nothing where the libraries of a server are installed.

    Raises:
        UsageError: they are not; it says what to install.
    """
    try:
        import uvicorn  # noqa: F401, PLC0415  as in ``_run``

        import lading.web.app  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise UsageError(
            f"lading serve: expected the extra `web`, found no module {error.name!r}",
            hint="pip install 'lading[web]'",
        ) from error


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def warn_of(host: str) -> str:
    """Say what to take care of where others reach a server; "" where none can."""
    if is_loopback(host):
        return ""
    return (
        f"WARNING: listens on {host}: whoever reaches this machine reaches it, and tokens travel"
        " as plain text; put a proxy with TLS before it, or listen on 127.0.0.1"
    )


def _hold_server(served: Served) -> Held:
    held = hold(server_path(served.work))
    if held is None:
        raise RefusedError(
            f"{served.work}: expected no other server, found one at work", hint="end it first"
        )
    return held


def _listen(address: Address) -> socket.socket:
    """Listen at once, so that a port that is taken is told before anything begins."""
    place = f"{address.host}:{address.port}"
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(
            (address.host, address.port), family=family, backlog=2048, reuse_port=False
        )
    except (OSError, OverflowError) as error:
        # socket's own text of an error names the address once more
        what = str(error).partition(" (while attempting")[0].partition("] ")[2] or str(error)
        raise LadingError(
            f"{place}: expected an address that is free, got {what!r}",
            hint="say another with --host or --port",
        ) from error


def _tell(
    served: Served, listener: socket.socket, address: Address, say: Callable[[str], None]
) -> None:
    if warning := warn_of(address.host):
        say(warning)
    host, port = (
        f"[{address.host}]" if ":" in address.host else address.host,
        listener.getsockname()[1],
    )
    reading = "reading needs no token" if served.web.open else "reading needs a token"
    say(
        f"http://{host}:{port} serves {', '.join(served.projects)}; {reading}, publishing one of"
        " an admin; make one with: lading token add NAME --role viewer|admin"
    )


def _run(served: Served, ledger: Ledger, listener: socket.socket) -> None:
    # here: whoever only works needs no server
    import uvicorn  # noqa: PLC0415

    from lading.web.app import create_app  # noqa: PLC0415

    app = create_app(served, ledger)

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.parts.streams.close()  # they would be waited for
            await super().shutdown(sockets)

    _log_to_stderr()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_S,
    )
    # uvicorn raises the signal once more when it has ended: that is what was asked for, no fault
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _ignore)
    Server(config).run(sockets=[listener])


def _ignore(number: int, frame: FrameType | None) -> None:
    del number, frame


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("uvicorn")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.WARNING)
