"""The child of ``import_check``: imports modules, and notices what that changes outside.

It runs in an interpreter of its own and writes a JSON line for each thing that it notices. It
notices and never prevents: a module that were stopped at its first effect would hide the others.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lading.jobs.registry import module_names, try_import

if TYPE_CHECKING:
    from types import FrameType, ModuleType

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATH_EVENTS = {
    "os.mkdir": "made the folder",
    "os.rmdir": "removed the folder",
    "os.remove": "removed",
    "os.rename": "renamed",
    "os.link": "made a link to",
    "os.symlink": "made a link to",
    "os.truncate": "truncated",
    "os.chmod": "changed the mode of",
    "os.chown": "changed the owner of",
}
_PROCESS_EVENTS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "pty.spawn",
}
_NETWORK_EVENTS = {
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
}
_WORDS = {
    "signal": "changed the handler of {}",
    "variable": "changed the variable {}",
    "folder": "changed the working folder",
}
_MACHINERY = {__file__, str(Path(__file__).with_name("registry.py"))}
_SETTLE_S = 0.2  # in which a thread may end that has nothing left to do


class Guard:
    """Notices effects while a module is imported.

    Args:
        report: where to write what was noticed, open already.
        folders: where the project's code is: the innermost line there is named.
        base: folder that files are named from.
    """

    def __init__(self, report: IO[str], folders: Sequence[str], base: str) -> None:
        self._report = report
        self.folders = tuple(f"{each}{os.sep}" for each in folders)
        self._base = Path(base)
        self._module = ""
        self._told: set[tuple[str, str, str]] = set()
        self._places: dict[str, str] = {}

    def install(self) -> None:
        """Begin to listen.

        Effects: this interpreter's audit hooks, standard streams, and how it starts threads and
        sets signal handlers.
        """
        sys.addaudithook(self._hear)
        sys.stdout, sys.stderr = _Told(self, "stdout"), _Told(self, "stderr")
        threading.Thread.start = self._watch(  # type: ignore[method-assign]
            threading.Thread.start, lambda thread, *_: f"thread {id(thread)}"
        )
        signal.signal = self._watch(signal.signal, lambda number, *_: f"signal {int(number)}")

    def tell(self, **line: str) -> None:
        """Write a line for the parent, at once: the next import may end this process."""
        self._report.write(json.dumps(line) + "\n")
        self._report.flush()

    def found(self, what: str, place: str | None = None) -> None:
        """Tell of an effect, once."""
        place = self._place() if place is None else place
        if self._module and (self._module, what, place) not in self._told:
            self._told.add((self._module, what, place))
            self.tell(module=self._module, what=what, place=place)

    def watch_import(self, module: str, load: Callable[[], str]) -> None:
        """Import a module and tell of its effects; ``load`` returns why it cannot be imported."""
        before = _surroundings()
        self.tell(begin=module)
        self._module = module
        error = load()
        if error:
            self.found(f"raised {error}", "")
        for what, key in _changes(before, _surroundings()):
            self.found(what, self._places.get(key, ""))
        self._module = ""

    def _watch(self, function: Any, key: Callable[..., str]) -> Any:
        def watched(*args: Any, **options: Any) -> Any:
            self._places[key(*args, *options.values())] = self._place()
            return function(*args, **options)

        return watched

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._module:
            return
        if event == "open" and _is_write(*args[:3]):
            self.found(f"opened {_name(args[0])} for writing")
        elif event in _PATH_EVENTS and "__pycache__" not in str(args[0]):
            self.found(f"{_PATH_EVENTS[event]} {_name(args[0])}")
        elif event in _PROCESS_EVENTS:
            # arguments may hold secrets: the program alone is told
            program = os.fspath(args[0]) if args and isinstance(args[0], str | bytes) else ""
            word = str(os.fsdecode(program)).split(" ", 1)[0]
            self.found(f"started a process{f' of {word!r}' if word else ''}")
        elif event in _NETWORK_EVENTS:
            self.found(f"used the network ({event})")
        elif event == "sqlite3.connect" and args[0] != ":memory:":
            self.found(f"opened the database {_name(args[0])}")
        elif event in {"os.putenv", "os.unsetenv"}:
            self._places[f"variable {os.fsdecode(args[0])}"] = self._place()
        elif event == "os.chdir":
            self._places["folder"] = self._place()

    def _place(self) -> str:
        """Return the innermost line of the project's code that is being run."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  the way to the caller's lines
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self.folders) and name not in _MACHINERY:
                path = Path(name)
                shown = path.relative_to(self._base) if path.is_relative_to(self._base) else path
                return f"{shown}:{frame.f_lineno}"
            frame = frame.f_back
        return ""


class _Told:
    """A standard stream that tells on who writes to it. It keeps nothing."""

    encoding, errors = "utf-8", "strict"

    def __init__(self, guard: Guard, name: str) -> None:
        self._guard, self.name = guard, f"<{name}>"
        self.buffer = self

    def write(self, text: str | bytes) -> int:
        if text:
            self._guard.found(f"wrote to {self.name[1:-1]}")
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1 if self.name == "<stdout>" else 2


def main(request: Mapping[str, Any]) -> None:
    """Import the modules of packages, and write what was noticed; then end, whatever still runs.

    Args:
        request: ``packages``, ``base`` and ``report``, the file to write.

    Effects: those of the modules; ends this process.
    """
    folders = [each for package in request["packages"] for each in _folders(package)]
    with Path(request["report"]).open("w", encoding="utf-8") as report:
        guard = Guard(report, folders, request["base"])
        guard.install()
        for package in request["packages"]:
            _check(guard, package, Path(request["base"]))
        guard.tell(end="")
        os._exit(0)  # threads that were left running would hold it


def _check(guard: Guard, name: str, base: Path) -> None:
    found: list[ModuleType] = []

    def load() -> str:
        result = try_import(name, [Path(each) for each in guard.folders], base)
        if isinstance(result, str):
            return result
        found.append(result)
        return ""

    guard.watch_import(name, load)
    for package in found:
        if hasattr(package, "__path__"):
            for module, _ in module_names(package):
                _check(guard, module, base)


def _folders(package: str) -> list[str]:
    """Return where the code of a package's outermost package is; nothing is imported."""
    spec = find_spec(package.partition(".")[0])
    return [os.path.realpath(each) for each in (spec and spec.submodule_search_locations) or ()]


def _surroundings() -> dict[str, Any]:
    """Return what an import may change without a word; by key, see ``Guard``."""
    handlers = {f"signal {int(each)}": signal.getsignal(each) for each in signal.valid_signals()}
    variables = {f"variable {name}": value for name, value in os.environ.items()}
    threads = {f"thread {id(each)}": each for each in threading.enumerate()}
    return {**handlers, **variables, **threads, "folder": str(Path.cwd())}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        kind, _, name = key.partition(" ")
        if kind == "thread":
            if old is None and new is not None and _is_left(new):
                yield f"left the thread {new.name!r} running", key
        elif old != new:
            yield _WORDS[kind].format(_signal_name(name) if kind == "signal" else repr(name)), key


def _signal_name(number: str) -> str:
    try:
        return signal.Signals(int(number)).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"


def _is_left(thread: threading.Thread) -> bool:
    thread.join(_SETTLE_S)
    return thread.is_alive()


def _is_write(path: Any, mode: Any, flags: Any) -> bool:
    if isinstance(path, int):  # open already
        return False
    name = os.fsdecode(path)
    if name == os.devnull or "__pycache__" in Path(name).parts:
        return False
    by_mode = isinstance(mode, str) and not {"w", "a", "x", "+"}.isdisjoint(mode)
    return by_mode or bool(isinstance(flags, int) and flags & _WRITES)


def _name(path: Any) -> str:
    return repr(path if isinstance(path, int) else os.fsdecode(path))
