"""Packages of jobs for tests, each of a name that no other test has imported."""

import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_NUMBERS = itertools.count()


@contextmanager
def package_of(folder: Path, modules: Mapping[str, str]) -> Iterator[str]:
    """Write a package, and forget what was imported of it at the end.

    Args:
        folder: where to.
        modules: text by path below the package; each folder gets an empty ``__init__.py``.
    """
    name = f"jobs_of_test_{next(_NUMBERS)}"
    path = sys.path[:]
    for place, text in {"__init__.py": "", **modules}.items():
        file = folder / name / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        for parent in Path(place).parents:
            (folder / name / parent / "__init__.py").touch()
    try:
        yield name
    finally:
        sys.path[:] = path
        for module in [each for each in sys.modules if each.split(".")[0] == name]:
            del sys.modules[module]
