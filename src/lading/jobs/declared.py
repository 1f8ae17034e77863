"""What a module exposes as ``JOB``, judged: every fault of it at once. Pure."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lading.config.values import Quantity
from lading.jobs.options import find_unusable
from lading.jobs.spec import Arguments, Job, JobSpec, Resources

_QUANTITY: TypeAdapter[str] = TypeAdapter(Quantity)
_PAIR = 2
_LAST_CODE = 255
_SHORT = 40


def read_job(name: str, module: str, declared: object) -> Job:
    """Make a job of what a module exposes as ``JOB``; one that cannot be run says why.

    Args:
        name: name that the job would have.
        module: full name of the module.
        declared: a ``JobSpec`` or a tuple of an entrypoint and a description.
    """
    faults = [*_judge_name(name), *_judge(declared)]
    if faults:
        return broken_job(name, module, "; ".join(faults))
    if isinstance(declared, JobSpec):
        line = _one_line(declared.description)
        return Job(name=name, module=module, spec=declared, entrypoint=None, description=line)
    pair: Any = declared
    return Job(
        name=name, module=module, spec=None, entrypoint=pair[0], description=_one_line(pair[1])
    )


def broken_job(name: str, module: str, error: str) -> Job:
    """Make a job that can only say why it cannot be run."""
    return Job(name=name, module=module, spec=None, entrypoint=None, description="", error=error)


def _judge_name(name: str) -> Iterator[str]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        yield (
            "name: expected small letters, digits and '_' after a first letter, as the name of the"
            f" module, found {name!r}"
        )


def _judge(declared: object) -> Iterator[str]:
    if isinstance(declared, JobSpec):
        yield from _judge_spec(declared)
    elif isinstance(declared, tuple) and len(declared) == _PAIR:
        yield from _judge_callable("JOB[0]", declared[0], ["argv"])
        if not isinstance(declared[1], str):
            yield f"JOB[1]: expected a description, found {_describe(declared[1])}"
    else:
        wanted = "a JobSpec or a tuple (entrypoint, description)"
        yield f"JOB: expected {wanted}, found {_describe(declared)}"


def _judge_spec(spec: JobSpec) -> Iterator[str]:
    # a dataclass takes anything: what its annotations say is asked here
    of: dict[str, Any] = {each.name: getattr(spec, each.name) for each in fields(spec)}
    yield from _judge_callable("entrypoint", of["entrypoint"], ["arguments", "run"])
    if of["inputs"] is not None:
        yield from _judge_callable("inputs", of["inputs"], ["arguments", "open_store"])
    yield from _judge_arguments(of)
    if not isinstance(of["description"], str):
        yield f"description: expected a line of text, found {_describe(of['description'])}"
    timeout = of["timeout_s"]
    if timeout is not None and not (_is_number(timeout) and timeout > 0):
        yield f"timeout_s: expected seconds above 0 or None, found {timeout!r}"
    codes = of["bad_data"]
    if not (isinstance(codes, frozenset | set | tuple) and all(map(_is_exit_code, codes))):
        yield f"bad_data: expected a set of exit codes from 1 to 255, found {codes!r}"
    yield from _judge_resources(of["resources"])


def _judge_arguments(of: dict[str, Any]) -> Iterator[str]:
    model = of["arguments"]
    if not (isinstance(model, type) and issubclass(model, Arguments)):
        yield f"arguments: expected a class made from Arguments, found {_describe(model)}"
        return
    yield from find_unusable(model)
    known = sorted(model.model_fields)
    listed = f"one of {', '.join(known)}" if known else "none, as there are no arguments"
    identity = of["identity"]
    if identity is not None and not isinstance(identity, tuple | list):
        yield f"identity: expected a tuple of names of arguments, found {_describe(identity)}"
    else:
        for name in identity or ():
            if name not in known:
                yield f"identity: expected {listed}, found {name!r}"
    if of["store"] and of["store"] not in known:
        yield f"store: expected {listed}, found {of['store']!r}"


def _judge_callable(place: str, function: Any, parameters: list[str]) -> Iterator[str]:
    called = f"called as ({', '.join(parameters)})"
    if not callable(function):
        yield f"{place}: expected a function, found {_describe(function)}"
    elif inspect.iscoroutinefunction(function):
        yield f"{place}: expected a function, found a coroutine, which nobody awaits"
    elif not _takes(function, parameters):
        yield f"{place}: expected a function {called}, found {inspect.signature(function)}"


def _takes(function: Callable[..., Any], parameters: list[str]) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some of C have none
        return True
    try:
        signature.bind(*parameters)
    except TypeError:
        return False
    return True


def _judge_resources(resources: Any) -> Iterator[str]:
    if not isinstance(resources, Resources):
        yield f"resources: expected Resources, found {_describe(resources)}"
        return
    for name in ("cpu", "memory"):
        value = getattr(resources, name)
        try:
            _QUANTITY.validate_python(value, strict=True)
        except ValidationError as error:
            wanted = error.errors()[0].get("ctx", {}).get("what", "a string")
            yield f"resources.{name}: expected {wanted}, found {value!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_exit_code(value: Any) -> bool:
    return isinstance(value, int) and 0 < value <= _LAST_CODE


def _describe(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    text = repr(value) if isinstance(value, str | int | float | None) else ""
    return text if text and len(text) <= _SHORT else f"a value of type {type(value).__name__}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
