"""Manifests from a Python callable of the repository; its code runs here, as a test's would."""

import importlib
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from lading.config.problems import nearest, render_place
from lading.errors import ClusterError, Interrupted
from lading.k8s.json_data import describe, first_difference, plain_data, value_at

_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD
_LONGEST = 300
_ONE_AT_A_TIME = threading.Lock()  # sys.path is the whole process's
_Stamp = tuple[int, int] | None
# modules of a repository, between calls: to run them twice is slow, and what they register
# elsewhere (metrics, codecs) may not be registered twice
_KEPT: dict[Path, dict[str, tuple[ModuleType, _Stamp]]] = {}


def call_manifests(
    name: str, repository: Path, arguments: Mapping[str, str]
) -> list[tuple[str, Any]]:
    """Call a callable of the repository twice; return its manifests with the place of each.

    Effects: its module is imported, with the repository's folder and its ``src`` first on
    ``sys.path``; afterwards ``sys.path`` and ``sys.modules`` are as before, but for modules of
    other places that it imported. The repository's own are kept aside for the next call, until
    one of their files changes. No bytecode is written.

    Args:
        name: ``package.module:callable``.
        repository: the repository's folder.
        arguments: what it may take, by name; it gets those that are parameters of it.

    Raises:
        ClusterError: it cannot be imported or called, raises, returns something else than
            mappings of JSON data, or returns other ones when called again. A dataset in
            development (NotImplementedError) has no CronJobs to speak of, and says so here.
    """
    with _ONE_AT_A_TIME, _imports_from(repository, name.partition(".")[0].partition(":")[0]):
        try:
            return _call(name, _find(name), arguments)
        except (ClusterError, Interrupted):
            raise
        except NotImplementedError as error:
            said = f" ({error!s:.100})" if str(error) else ""
            raise ClusterError(
                f"{name}: expected the CronJobs of {arguments.get('dataset', 'the dataset')}, got"
                f" NotImplementedError{said}: it is in development and has none yet"
            ) from error
        except (Exception, SystemExit) as error:
            raise ClusterError(_told(name, error, repository)) from error


def _find(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    module = importlib.import_module(module_name)
    found = getattr(module, attribute, None)
    if found is None:
        raise ClusterError(
            f"{name}: expected a callable {attribute!r} in {module_name}, got none"
            + nearest(attribute, vars(module))
        )
    if not callable(found):
        raise ClusterError(f"{name}: expected a callable, got {describe(found)}")
    return found  # type: ignore[no-any-return]  # callable() tells mypy less than it knows


def _call(
    name: str, function: Callable[..., Any], arguments: Mapping[str, str]
) -> list[tuple[str, Any]]:
    taken = _accepted(name, function, arguments)
    faults: list[str] = []
    first = _answer(name, function(**taken), faults)
    if faults:
        raise ClusterError("\n".join(faults))
    second = _answer(name, function(**taken), faults)
    path = first_difference(first, second)
    if path is not None:
        before, after = (describe(value_at(each, path)) for each in (first, second))
        place = f"{name}{render_place(path[:1])}: {render_place(path[1:])}".removesuffix(": ")
        raise ClusterError(
            f"{place}: expected the same at every call, got {before} and then {after}"
        )
    return [(f"{name}[{at}]", each) for at, each in enumerate(first)]


def _accepted(
    name: str, function: Callable[..., Any], arguments: Mapping[str, str]
) -> dict[str, str]:
    parameters = list(inspect.signature(function).parameters.values())
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return dict(arguments)
    by_name = [each for each in parameters if each.kind in {each.KEYWORD_ONLY, _EITHER}]
    taken = {each.name for each in by_name} & arguments.keys()
    optional = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in optional and each.name not in taken
    ]
    if needed:
        raise ClusterError(
            f"{name}: expected parameters by name among {', '.join(arguments)}, got one that also"
            f" needs {', '.join(needed)}"
        )
    return {each: arguments[each] for each in arguments if each in taken}


def _answer(name: str, returned: Any, faults: list[str]) -> list[Any]:
    if isinstance(returned, Mapping):  # one CronJob, or a v1 List
        returned = [returned]
    if isinstance(returned, str | bytes) or not isinstance(returned, Iterable):
        raise ClusterError(f"{name}: expected mappings in a list, got {describe(returned)}")
    return [plain_data(each, f"{name}[{at}]", faults) for at, each in enumerate(returned)]


@contextmanager
def _imports_from(repository: Path, package: str) -> Iterator[None]:
    """Let a package of the repository be imported, and leave the process as it was found."""
    root = repository.resolve()
    folders = [each for each in (root, root / "src") if each.is_dir()]
    path, before, writes_none = list(sys.path), dict(sys.modules), sys.dont_write_bytecode
    sys.path[:0] = [str(each) for each in folders]
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    if any((each / package).is_dir() or (each / f"{package}.py").is_file() for each in folders):
        _set_aside(package, root)
    _bring_back(root)
    try:
        yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = writes_none
        _keep(root, before)
        sys.modules.update(before)


def _set_aside(package: str, root: Path) -> None:
    """Forget a module of the same name that came from elsewhere; the caller brings it back."""
    if package not in sys.modules or _is_of(sys.modules[package], root):
        return
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        del sys.modules[name]


def _keep(root: Path, before: Mapping[str, ModuleType]) -> None:
    """Take the repository's own modules out again, and keep them for the next call."""
    own = {
        name: module
        for name, module in list(sys.modules.items())
        if before.get(name) is not module and _is_of(module, root)
    }
    for name in own:
        del sys.modules[name]
    _KEPT[root] = {name: (module, _stamp_of(module)) for name, module in own.items()}


def _bring_back(root: Path) -> None:
    """Put back what an earlier call imported, unless a file of it is another one now."""
    kept = _KEPT.get(root, {})
    if all(_stamp_of(module) == stamp for module, stamp in kept.values()):
        for name, (module, _) in kept.items():
            sys.modules.setdefault(name, module)


def _stamp_of(module: ModuleType) -> _Stamp:
    file = getattr(module, "__file__", None)
    if not file or not Path(file).is_file():
        return None
    found = Path(file).stat()
    return found.st_mtime_ns, found.st_size


def _is_of(module: ModuleType | None, root: Path) -> bool:
    """Tell whether a module is the repository's own: not of an environment that stands in it."""
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", []))
    paths = [Path(each).resolve() for each in places]
    return any(
        each.is_relative_to(root) and not {"site-packages", "dist-packages"} & set(each.parts)
        for each in paths
    )


def _told(name: str, error: BaseException, root: Path) -> str:
    """Say what was raised and where, in one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    frames = [
        f"{Path(each.filename).resolve().relative_to(root.resolve())}:{each.lineno}"
        for each in traceback.extract_tb(error.__traceback__)
        if Path(each.filename).resolve().is_relative_to(root.resolve())
    ]
    where = f" ({frames[-1]})" if frames else ""
    hint = "; install what it needs beside lading" if isinstance(error, ImportError) else ""
    return f"{name}: expected CronJobs, got {text.removesuffix(':')}{where}{hint}"
