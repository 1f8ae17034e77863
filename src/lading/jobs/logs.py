"""What a run says on stdout: JSON lines for machines, plain lines for people."""

import datetime as dt
import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import IO, Any, Literal

from lading.errors import MisconfiguredError
from lading.services.redaction import redact

_VARIABLE = "LADING_LOG"
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_OURS = {"time", "level", "message", "job", "run", "exception"}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}


@contextmanager
def logging_to(
    stream: IO[str], style: Literal["json", "text"], *, job: str, run: str, item: str = ""
) -> Iterator[logging.LoggerAdapter[logging.Logger]]:
    """Log to a stream while the block runs, what other libraries log (from WARNING on) too.

    A JSON line has ``time`` (RFC 3339, UTC, milliseconds), ``level``, ``message``, ``job``,
    ``run``, where one is named ``item``, what else ``extra`` gave, and ``exception`` where there
    is one. Secrets are taken out. Blocks may be nested, and stand in several threads: what a
    library logs belongs to the block that its thread is in, else to the one begun last.

    Args:
        stream: where to.
        style: how.
        job: name of the job.
        run: UUID of the run.
        item: the item that it is of a plan, which lines name that name no other; or "".

    Effects: the root logger has no other handlers meanwhile.
    """
    handler = _LineHandler(stream)
    is_json = style == "json"
    handler.setFormatter(_JsonFormatter(job, run, item) if is_json else _TextFormatter(job, item))
    logger = logging.Logger(f"lading.job.{job}", logging.INFO)  # noqa: LOG001  known to nobody else
    logger.addHandler(handler)
    token = _BLOCK.set(handler)
    _ROOT.begin(handler)
    try:
        yield _Adapter(logger, {})
    finally:
        _ROOT.end(handler)
        _BLOCK.reset(token)


def choose_style(stream: IO[str], wanted: str) -> Literal["json", "text"]:
    """Return how to log: as ``--log`` or ``LADING_LOG`` says, else text in a terminal, else JSON.

    Raises:
        MisconfiguredError: neither ``json`` nor ``text``.
    """
    place, style = ("--log", wanted) if wanted else (_VARIABLE, os.environ.get(_VARIABLE, ""))
    if style == "json":
        return "json"
    if style == "text":
        return "text"
    if style:
        raise MisconfiguredError(f"{place}: expected 'json' or 'text', got {style!r}")
    return "text" if stream.isatty() else "json"


class _Adapter(logging.LoggerAdapter[logging.Logger]):
    """Hands ``extra`` on; that of the standard library drops it before Python 3.13."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs


class _LineHandler(logging.StreamHandler[IO[str]]):
    """Writes each record in one step; a reader that has gone away ends nobody's run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Drop the line: there is nowhere left to tell of it."""


class _JsonFormatter(logging.Formatter):
    def __init__(self, job: str, run: str, item: str) -> None:
        super().__init__()
        named = {"item": _plain(item)} if item else {}
        self._of = {"job": job, "run": run, **named}

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "message": _message(record),
            **self._of,
        }
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        line |= {key: _plain(value) for key, value in extra.items() if key not in _OURS}
        if exception := _exception(self, record):
            line["exception"] = exception
        return json.dumps(line)


class _TextFormatter(logging.Formatter):
    def __init__(self, job: str, item: str) -> None:
        super().__init__()
        self._job = job
        self._item = item or None

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        item = getattr(record, "item", self._item)
        named = "" if item is None else f"{_plain(item)}: "
        text = f"{at} {self._job}: {level}{named}{_message(record)}"
        if exception := _exception(self, record):
            text += f"\n{exception}"
        # what others wrote may not steer a terminal, nor look like a line of ours
        lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
        return "\n  ".join(_printable(each) for each in lines)


class _Root(logging.Handler):
    """Stands at the root logger for all blocks: each record goes to one of them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._blocks: list[logging.Handler] = []
        self._before: tuple[list[logging.Handler], int] = ([], logging.WARNING)
        self._guard = threading.Lock()

    def begin(self, block: logging.Handler) -> None:
        """Take a block in; the first one puts the handlers of others aside."""
        root = logging.getLogger()
        with self._guard:
            if not self._blocks:
                self._before = (root.handlers[:], root.level)
                root.handlers[:] = [self]
                root.setLevel(min(root.level or logging.WARNING, logging.WARNING))
            self._blocks.append(block)

    def end(self, block: logging.Handler) -> None:
        """Let a block go; the last one puts back what stood before."""
        root = logging.getLogger()
        with self._guard:
            self._blocks.remove(block)
            if not self._blocks:
                handlers, level = self._before
                root.handlers[:] = handlers
                root.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record to the block it belongs to."""
        with suppress(IndexError):  # the last block may just have ended
            (_BLOCK.get() or self._blocks[-1]).handle(record)


_BLOCK: ContextVar[logging.Handler | None] = ContextVar("block", default=None)
_ROOT = _Root()


def _message(record: logging.LogRecord) -> str:
    try:
        return redact(record.getMessage())
    except Exception:  # noqa: BLE001  a wrong format, or a __str__ that raises: say what there is
        return redact(_safe_repr((record.msg, record.args)))


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        return redact(formatter.formatException(record.exc_info))
    return ""


def _plain(value: Any) -> Any:
    """Return a value as JSON takes it, without secrets; what it cannot take becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if type(value) in (int, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    try:
        return redact(str(value))
    except Exception:  # noqa: BLE001  a __str__ that raises loses no line
        return object.__repr__(value)


def _safe_repr(values: tuple[Any, ...]) -> str:
    try:
        return repr(values)
    except Exception:  # noqa: BLE001  as above
        return ", ".join(object.__repr__(each) for each in values)


def _printable(line: str) -> str:
    return line.translate(_CONTROLS).encode(errors="backslashreplace").decode()
