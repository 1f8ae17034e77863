"""Which jobs a project has: the modules of its packages, and the jobs that Lading ships."""

import pkgutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module, invalidate_caches
from itertools import groupby
from pathlib import Path
from traceback import walk_tb
from types import ModuleType

from lading.config.problems import nearest
from lading.errors import Interrupted, MisconfiguredError
from lading.jobs.declared import broken_job, read_job
from lading.jobs.spec import Job
from lading.services.redaction import redact

BUILTIN = "lading.jobs.builtin"
"""Package of the jobs that Lading ships."""

_HINT = "`lading jobs` shows them"
_LOADING = threading.RLock()  # one at a time: sys.path and sys.stdout are everybody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Jobs by name, sorted; broken ones among them."""

    jobs: tuple[Job, ...]
    """All jobs. Those that claim one name are broken, and all of them are here."""
    faults: tuple[str, ...] = ()
    """What is wrong beside single jobs: packages that cannot be imported, names used twice."""

    @property
    def is_sound(self) -> bool:
        """Whether every job can be run, and nothing else is wrong."""
        return not self.faults and not any(each.error for each in self.jobs)

    def find(self, name: str) -> Job:
        """Return a job that can be run.

        Raises:
            MisconfiguredError: no job has the name (the nearest is named), it is broken, or two
                modules claim it.
        """
        found = [each for each in self.jobs if each.name == name]
        if len(found) == 1 and not found[0].error:
            return found[0]
        if found:
            modules = " and ".join(each.module for each in found)
            error = f"{name}: expected a job that can be run, found {modules}: {found[0].error}"
            raise MisconfiguredError(error)
        close = nearest(name, [each.name for each in self.jobs])
        lines = [f"job: expected one that there is, got {name!r}{close}", *self.faults]
        raise MisconfiguredError("\n".join(lines), hint=_HINT)


def load_registry(packages: Sequence[str], base: Path) -> Registry:
    """Import the modules of packages and find their jobs; then those that Lading ships.

    A project's job of a built-in's name is an error, as are two of one name in its packages.

    Args:
        packages: names of packages; their modules that begin with ``_`` are no jobs, nor is one
            without ``JOB``; sub-packages (folders with an ``__init__.py``) are looked into.
        base: folder that is put on the import path first.

    Effects: the modules are imported; what they print goes to stderr.
    """
    jobs: dict[str, Job] = {}
    faults: list[str] = []
    with _LOADING, redirect_stdout(sys.stderr):
        put_first(base)
        for package in dict.fromkeys((*packages, BUILTIN)):
            try:
                root = _import_package(package, base)
            except ImportError as error:
                faults.append(f"jobs.packages: {error}")
                continue
            for job in _find_jobs(root, base):
                jobs.setdefault(job.module, job)
    told, doubles = _tell_doubles(sorted(jobs.values(), key=lambda each: (each.name, each.module)))
    return Registry(jobs=tuple(told), faults=(*faults, *doubles))


def put_first(base: Path) -> None:
    """Make a folder the first of the import path, where it is not.

    Effects: ``sys.path``.
    """
    folder = str(base.resolve())
    if sys.path[:1] != [folder]:
        sys.path[:] = [folder, *(each for each in sys.path if each != folder)]
    invalidate_caches()


def module_names(package: ModuleType) -> Iterator[tuple[str, bool]]:
    """Yield the full names of a package's modules, sorted, and whether each is a package.

    Those that begin with ``_`` are left out; it does not look into packages.
    """
    for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        if not found.name.startswith("_"):
            yield f"{package.__name__}.{found.name}", found.ispkg


def describe_error(error: BaseException, folders: Sequence[Path], base: Path) -> str:
    """Say what an import raised, in one line: ``TypeName: first line (file:line)``.

    Args:
        error: what was raised.
        folders: where the project's code is: the innermost line there is named.
        base: folder that files are named from.
    """
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = (text.strip().splitlines() or [""])[0]
    told = redact(f"{type(error).__name__}: {first}" if first else type(error).__name__)
    place = _place(error, folders)
    if place is None:
        return told
    path, line = place
    name = path.relative_to(base.resolve()) if path.is_relative_to(base.resolve()) else path
    return f"{told} ({name}:{line})"


def try_import(name: str, folders: Sequence[Path], base: Path) -> ModuleType | str:
    """Import a module; return it, or why it cannot be imported, see ``describe_error``."""
    try:
        return import_module(name)
    except (KeyboardInterrupt, Interrupted):
        raise
    except BaseException as error:  # noqa: BLE001  SystemExit, and whatever a module raises
        return describe_error(error, folders or [base.resolve()], base)


def _import_package(name: str, base: Path) -> ModuleType:
    """Import a package.

    Raises:
        ImportError: it cannot be, or is none; in one line.
    """
    found = try_import(name, [], base)
    if isinstance(found, str):
        raise ImportError(f"{name}: expected a package that can be imported, found {found}")  # noqa: TRY004  one kind for all
    if not hasattr(found, "__path__"):
        raise ImportError(f"{name}: expected a package, found a module; name the package it is in")
    return found


def _find_jobs(package: ModuleType, base: Path) -> Iterator[Job]:
    folders = [Path(each).resolve() for each in package.__path__]
    for module, is_package in module_names(package):
        name = module.rpartition(".")[2]
        found = try_import(module, folders, base)
        if isinstance(found, str):
            yield broken_job(name, module, found)
            continue
        if "JOB" in vars(found):
            yield read_job(name, module, vars(found)["JOB"])
        if is_package:
            yield from _find_jobs(found, base)


def _tell_doubles(jobs: Sequence[Job]) -> tuple[list[Job], list[str]]:
    """Break the jobs that claim one name, and tell of each such name."""
    told: list[Job] = []
    faults: list[str] = []
    for name, group in groupby(jobs, key=lambda each: each.name):
        same = list(group)
        if len(same) > 1:
            modules = " and ".join(each.module for each in same)
            faults.append(f"{name}: expected one module of this name, found {modules}; rename one")
            error = f"its name is used {len(same)} times"
            same = [_break(each, error) for each in same]
        told += same
    return told, faults


def _break(job: Job, error: str) -> Job:
    every = "; ".join(filter(None, (error, job.error)))
    return replace(job, spec=None, entrypoint=None, description="", error=every)


def _place(error: BaseException, folders: Sequence[Path]) -> tuple[Path, int] | None:
    """Return the innermost line of an error that is below some folders, else the innermost."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename), error.lineno or 1
    lines = [
        (Path(frame.f_code.co_filename), line)
        for frame, line in walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith("<")
    ][2:]  # without this module and importlib, which called it
    ours = [each for each in lines if any(map(each[0].is_relative_to, folders))]
    return next(iter([*reversed(ours), *reversed(lines)]), None)
