"""From the fields of a job's arguments to options of its command line. Pure."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from lading.jobs.spec import Arguments

_SCALARS: Mapping[Any, str] = {
    str: "TEXT",
    int: "INT",
    float: "FLOAT",
    Path: "PATH",
    dt.date: "DATE",
    dt.datetime: "DATETIME",
}
_MANY = (tuple, list, set, frozenset, Sequence, AbstractSet)
_WANTED = (
    "str, int, float, bool, Path, date, datetime, Literal, Enum, or a tuple, list or set of these"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a job's command line."""

    name: str
    """Name of the field."""
    kind: Literal["flag", "one", "many"]
    """``flag``: ``--name`` and ``--no-name``. ``many``: may be given several times."""
    metavar: str = ""
    """What its value is: ``TEXT``, ``INT``, ``{daily,hourly}``; "" for a flag."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """Values by what stands for them; empty where any text may do."""
    help: str = ""
    """One line."""
    default: str | None = None
    """What holds where it is left out, for people; None: it may not be left out."""

    @property
    def flag(self) -> str:
        """How it is written: ``--agency-id``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def negated(self) -> str:
        """How a flag is denied: ``--no-dry-run``."""
        return f"--no-{self.name.replace('_', '-')}"

    @property
    def is_moment(self) -> bool:
        """Whether nothing but a day or a moment will do."""
        return self.metavar in {"DATE", "DATETIME"}


def read_options(model: type[Arguments]) -> tuple[Option, ...]:
    """Return the options of a model, in the order of its fields; without those it cannot have."""
    read = (_read_field(name, info) for name, info in model.model_fields.items())
    return tuple(each for each in read if isinstance(each, Option))


def find_unusable(model: type[Arguments]) -> list[str]:
    """Return a line for each field that cannot be an option."""
    read = [_read_field(name, info) for name, info in model.model_fields.items()]
    faults = [each for each in read if isinstance(each, str)]
    options = [each for each in read if isinstance(each, Option)]
    claims = Counter(["--help", *(flag for each in options for flag in _flags(each))])
    return faults + [
        f"arguments: expected each option once, found {flag} {count} times"
        for flag, count in claims.items()
        if count > 1
    ]


def _flags(option: Option) -> Iterator[str]:
    yield option.flag
    if option.kind == "flag":
        yield option.negated


def _read_field(name: str, info: FieldInfo) -> Option | str:
    if info.alias or info.validation_alias:
        return f"arguments.{name}: expected no alias, found one"
    alternatives = _alternatives(info.annotation)
    if alternatives == [bool]:
        kind: Literal["flag", "one", "many"] = "flag"
    elif len(alternatives) == 1 and _elements(alternatives[0]) is not None:
        kind, alternatives = "many", _elements(alternatives[0]) or [str]
    else:
        kind = "one"
    if kind != "flag" and not all(map(_is_scalar, alternatives)):
        return f"arguments.{name}: expected {_WANTED}, found {_name_type(info.annotation)}"
    return Option(
        name=name,
        kind=kind,
        metavar="" if kind == "flag" else _metavar(alternatives),
        choices=_choices(alternatives[0]) if len(alternatives) == 1 else {},
        help=" ".join((info.description or "").split()),
        default=_default(name, info),
    )


def _plain(annotation: Any) -> Any:
    """Take off ``Annotated`` and the names of types."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":  # Python 3.12: type Name = ...
            annotation = annotation.__value__
        else:
            return annotation


def _alternatives(annotation: Any) -> list[Any]:
    annotation = _plain(annotation)
    if get_origin(annotation) not in (Union, UnionType):
        return [annotation]
    found = [each for part in get_args(annotation) for each in _alternatives(part)]
    return [each for each in found if each is not NoneType]


def _elements(annotation: Any) -> list[Any] | None:
    """Return what a collection holds; None: it is none."""
    origin = get_origin(annotation) or annotation
    if origin not in _MANY:
        return None
    parts = [each for each in get_args(annotation) if each is not Ellipsis]
    return list(dict.fromkeys(each for part in parts for each in _alternatives(part)))


def _is_scalar(annotation: Any) -> bool:
    return annotation in _SCALARS or bool(_choices(annotation))


def _choices(annotation: Any) -> dict[str, Any]:
    if get_origin(annotation) is Literal:
        return {_text(each): each for each in get_args(annotation)}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {_text(each): each for each in annotation}
    return {}


def _metavar(alternatives: Iterable[Any]) -> str:
    names = [_SCALARS.get(each) or f"{{{','.join(_choices(each))}}}" for each in alternatives]
    metavar = "|".join(names)
    # argparse breaks lines of usage badly where there are blanks or brackets
    return metavar if re.fullmatch(r"[\w.,|{}:/+-]+", metavar) else "CHOICE"


def _default(name: str, info: FieldInfo) -> str | None:
    if info.is_required():
        return None
    value = info.default if info.default_factory is None else None
    if isinstance(value, bool):
        option = Option(name=name, kind="flag")
        return option.flag if value else option.negated
    if isinstance(value, tuple | list | set | frozenset):
        return ", ".join(_text(each) for each in value)
    return "" if value is None else _text(value)


def _text(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _name_type(annotation: Any) -> str:
    is_class = isinstance(annotation, type) and get_origin(annotation) is None
    return annotation.__name__ if is_class else str(annotation).replace("typing.", "")
