"""Files that a project's own command makes of a file of a version, where it brings none.

What was made is kept by the digests of all that it was made of, so that nothing is made twice.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lading.config.publish import Build
from lading.errors import PrepareError
from lading.prepare.archives import digests_of, is_archive_current, keep_receipt, replaced
from lading.prepare.digests import DigestCache

RunCommand = Callable[[Sequence[str], float], object]
"""Runs a program with its arguments, for at most so many seconds; raises where it fails."""


@dataclass(frozen=True, slots=True)
class Making:
    """How a file is built; with its input, all that its bytes depend on."""

    command: tuple[str, ...]
    """Program and arguments, with placeholders."""
    scripts: tuple[tuple[str, str], ...] = ()
    """sha256 of each file of the project that the command names, by its name there."""

    @property
    def settings(self) -> dict[str, Any]:
        """What has to be equal for a file that was built to be kept."""
        return {"command": list(self.command), "scripts": dict(self.scripts)}


def making_of(rule: Build, base: Path, cache: DigestCache) -> Making:
    """Return how a rule builds: its command, and the files of the project that it names.

    Args:
        rule: the rule.
        base: folder of the configuration; commands run there.
        cache: where digests are looked up.

    Raises:
        SourceError: such a file cannot be read.
    """
    named = [each for each in rule.command if "{" not in each and (base / each).is_file()]
    scripts = tuple((each, cache.digest(base / each).sha256) for each in dict.fromkeys(named))
    return Making(rule.command, scripts)


def is_built(source: Path, target: Path, making: Making, cache: DigestCache) -> bool:
    """Say whether a file stands that was built from these bytes in this way."""
    return is_archive_current([source], target, making, cache)


def build_file(
    rule: Build,
    source: Path,
    target: Path,
    making: Making,
    *,
    run: RunCommand,
    cache: DigestCache,
) -> bool:
    """Build one file by the command of a rule.

    Args:
        rule: the rule.
        source: the file that it is made of.
        target: what is made. The command writes a file of this name elsewhere, which takes its
            place once it is whole and durable.
        making: see ``making_of``.
        run: runs the command.
        cache: where digests are looked up.

    Returns:
        Whether it was built; False where the one that stands is still right.

    Raises:
        CommandError: the command failed, or took too long.
        PrepareError: it made nothing, or an empty file; or its input changed meanwhile.
    """
    if is_built(source, target, making, cache):
        return False
    sources = digests_of([source], cache)
    with replaced(target) as temporary:
        made = temporary.with_name(f"{temporary.name}s") / target.name
        shutil.rmtree(made.parent, ignore_errors=True)  # of a run that was killed
        made.parent.mkdir(parents=True)
        try:
            run(_filled(rule.command, source, made), 60.0 * rule.timeout_minutes)
            _require_made(rule, source, made)
            made.replace(temporary)
        finally:
            shutil.rmtree(made.parent, ignore_errors=True)
        if digests_of([source], cache) != sources:
            raise PrepareError(
                f"{source.name}: expected a file at rest, found it changed while {rule.name} read"
                " it",
                hint="wait until the version has ended, then run the same command",
            )
    keep_receipt(sources, target, making, cache.digest(target), cache)
    return True


def _filled(command: Sequence[str], source: Path, target: Path) -> list[str]:
    names = {"{input}": str(source), "{output}": str(target)}
    # in one go: a path may look like a placeholder
    return [re.sub(r"\{input\}|\{output\}", lambda found: names[found[0]], e) for e in command]


def _require_made(rule: Build, source: Path, made: Path) -> None:
    size = -1
    with suppress(OSError):
        size = made.stat().st_size if made.is_file() and not made.is_symlink() else -1
    if size <= 0:
        found = "an empty one" if size == 0 else "none"
        raise PrepareError(
            f"publish.build {rule.name}: expected the command to write the file {made.name}"
            f" of {source.name}, found {found}"
        )
