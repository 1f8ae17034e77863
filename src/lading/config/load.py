"""Find a configuration file and make a model of it."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lading.config.models import Config
from lading.config.problems import TOML_MOMENT, render_problems
from lading.config.rules import find_conflicts
from lading.errors import ConfigError

CONFIG_NAME = "lading.toml"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and where it was found."""

    config: Config
    """The model."""
    path: Path
    """The file, absolute."""

    @property
    def base(self) -> Path:
        """The folder that relative paths of the configuration start from."""
        return self.path.parent


def load_config(folder: Path, name: str = "", source: str = "") -> LoadedConfig:
    """Load ``name``, else ``lading.toml``, else ``[tool.lading]`` of ``pyproject.toml``.

    Args:
        folder: where to look.
        name: path of a file that the person named (``config=``), relative to ``folder``.
        source: path or URL of the build in the place of ``source.url``, or "".

    Raises:
        ConfigError: no file, not TOML, or a file with problems: all of them at once.
    """
    path = _find(folder, name)
    table = (_tool_table(path) or {}) if path.name == "pyproject.toml" else _read(path)
    if source and isinstance(table.get("source"), dict):
        table = {**table, "source": {**table["source"], "url": source}}
    return LoadedConfig(parse_config(table, path.name, str(path.resolve().parent)), path.resolve())


def parse_config(table: dict[str, Any], file_name: str, base: str = "/base") -> Config:
    """Make a model of a parsed TOML table.

    Args:
        table: the table.
        file_name: what each problem begins with.
        base: the absolute folder that relative paths start from.

    Raises:
        ConfigError: with one line a problem, each beginning with ``file_name``.
    """
    if not table:
        raise ConfigError(
            [f"{file_name}: expected [project] and [channels], [datasets] or [jobs], got none"],
            hint="`lading init` writes a commented example",
        )
    try:
        # JSON in strict mode: lists become tuples, and "2" is not a number
        config = Config.model_validate_json(json.dumps(table, default=_quote_moment), strict=True)
    except ValidationError as error:
        problems = [*render_problems(error, Config), *_missing_tables(table)]
    else:
        problems = [*_missing_tables(table), *find_conflicts(config, base)]
        if not problems:
            return config
    raise ConfigError([f"{file_name}: {problem}" for problem in problems])


def _missing_tables(table: Mapping[str, Any]) -> Iterator[str]:
    """Name the tables without which those that are there mean nothing."""
    wanted = ["kubernetes"] if table.get("datasets") else []
    if table.get("channels") or not (wanted or "jobs" in table):
        wanted += ["source", "destinations", "channels"]
    for name in wanted:
        if name not in table:
            yield f"{name}: expected a value, got nothing"
        elif table[name] == {}:
            yield f"{name}: expected at least 1 entry, got none"


def _quote_moment(moment: object) -> dict[str, str]:
    return {TOML_MOMENT: str(moment)}


def has_config(folder: Path) -> bool:
    """Say whether a configuration stands in a folder.

    Raises:
        ConfigError: there is a pyproject.toml that is none.
    """
    pyproject = folder / "pyproject.toml"
    return (folder / CONFIG_NAME).is_file() or (
        pyproject.is_file() and _tool_table(pyproject) is not None
    )


def _find(folder: Path, name: str) -> Path:
    if name:
        path = folder / name
        if not path.is_file():
            raise ConfigError([f"config={name}: expected a TOML file, found none at {path}"])
        return path
    if has_config(folder):
        path = folder / CONFIG_NAME
        return path if path.is_file() else folder / "pyproject.toml"
    raise ConfigError(
        [f"{CONFIG_NAME}: expected in {folder}, found neither it nor [tool.lading]"],
        hint="`lading init` writes a commented example",
    )


def _tool_table(path: Path) -> dict[str, Any] | None:
    """Return ``[tool.lading]`` of a pyproject.toml, or None where it has none."""
    tool = _read(path).get("tool", {})
    if not isinstance(tool, dict):
        raise ConfigError([f"{path.name}: tool: expected a table, got {tool!r}"])
    table = tool.get("lading")
    if table is not None and not isinstance(table, dict):
        raise ConfigError([f"{path.name}: tool.lading: expected a table, got {table!r}"])
    return table


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path.name}: expected UTF-8 text, got {error.reason}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path.name}: expected TOML, got {error}"]) from error
    except OSError as error:
        raise ConfigError(
            [f"{path.name}: expected a readable file, got {error.strerror}"]
        ) from error
