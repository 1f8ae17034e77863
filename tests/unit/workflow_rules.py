"""What every workflow of ours keeps to, as a pure function over its text."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_COMMENTED = re.compile(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
_FORBIDDEN_EVENTS = {"pull_request_target", "workflow_run", "issue_comment"}


def parse_workflow(text: str) -> dict[str, Any]:
    """Parse a workflow; YAML 1.1 reads the key ``on`` as True, and here it is ``on`` again."""
    table: dict[Any, Any] = yaml.safe_load(text)
    return {"on" if name is True else str(name): value for name, value in table.items()}


def find_problems(text: str) -> list[str]:
    """Return what a workflow does that ours never do, one line each."""
    table = parse_workflow(text)
    return [*_problems_of_file(text, table), *_problems_of_jobs(table["jobs"])]


def _problems_of_file(text: str, table: dict[str, Any]) -> Iterator[str]:
    if table.get("permissions") != {}:
        yield "permissions: expected none at the top"
    if "group" not in table.get("concurrency", {}):
        yield "concurrency: expected a group"
    for event in _FORBIDDEN_EVENTS & set(table["on"]):
        yield f"on: {event} runs with the rights of the repository for a stranger"
    for line in text.splitlines():
        if "uses:" in line and not _COMMENTED.search(line):
            yield f"expected a commit and its version, got {line.strip()!r}"


def _problems_of_jobs(jobs: dict[str, Any]) -> Iterator[str]:
    for name, job in jobs.items():
        if "permissions" not in job or "write-all" in str(job["permissions"]):
            yield f"{name}: expected permissions of its own"
        if "timeout-minutes" not in job:
            yield f"{name}: expected timeout-minutes"
        for step in job["steps"]:
            yield from (f"{name}: {problem}" for problem in _problems_of_step(step))


def _problems_of_step(step: dict[str, Any]) -> Iterator[str]:
    if "${{" in step.get("run", ""):
        yield f"an expression inside run: {step['run']!r}"
    if "uses" in step and not _PINNED.fullmatch(step["uses"]):
        yield f"not pinned: {step['uses']}"
    given = step.get("with", {})
    if (
        "actions/checkout@" in step.get("uses", "")
        and given.get("persist-credentials") is not False
    ):
        yield "checkout: expected persist-credentials: false"
    if any("secrets." in str(value) for value in given.values()):
        yield "a secret as an input of an action"
