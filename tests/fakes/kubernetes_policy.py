"""What the API refuses of a Job's ``podFailurePolicy`` and ``podReplacementPolicy``.

Source: Kubernetes, pkg/apis/batch/validation, of the version that answers.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.kubernetes_faults import invalid, required, unsupported
from tests.fakes.kubernetes_fields import Table

_EITHER = "OnExitCodes and OnPodConditions"
_MAX_RULES = 20
_MAX_CODES = 255
_MAX_PATTERNS = 20
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")


def policy_faults(spec: Table, at: str) -> Iterator[str]:
    """Give what is wrong with what a Job says of pods that fail."""
    policy = spec.get("podFailurePolicy")
    replacement = spec.get("podReplacementPolicy")
    known = _REPLACEMENTS if policy is None else _REPLACEMENTS[:1]
    if replacement is not None and replacement not in known:
        yield unsupported(f"{at}.podReplacementPolicy", replacement, known)
    rules = (policy or {}).get("rules") or []
    where = f"{at}.podFailurePolicy.rules"
    yield from _too_many(where, rules, _MAX_RULES)
    names = _container_names(spec)
    for number, rule in enumerate(rules):
        yield from _rule_faults(rule, f"{where}[{number}]", names)
        if rule.get("action") == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            why = "requires the backoffLimitPerIndex to be set"
            yield invalid(f"{where}[{number}].action", "FailIndex", why)


def _container_names(spec: Table) -> set[str]:
    pod = spec["template"]["spec"]
    listed = [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]
    return {each.get("name", "") for each in listed}


def _rule_faults(rule: Table, at: str, names: set[str]) -> Iterator[str]:
    yield from _choice(rule.get("action"), _ACTIONS, f"{at}.action")
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        yield from _code_faults(codes, f"{at}.onExitCodes", names)
    yield from _condition_faults(conditions, f"{at}.onPodConditions")
    if codes is not None and conditions:
        yield f"{at}: Invalid value: specifying both {_EITHER} is not supported"
    if codes is None and not conditions:
        yield f"{at}: Invalid value: specifying one of {_EITHER} is required"


def _code_faults(given: Table, at: str, names: set[str]) -> Iterator[str]:
    operator, codes = given.get("operator"), given.get("values") or []
    yield from _choice(operator, _OPERATORS, f"{at}.operator")
    name = given.get("containerName")
    if name is not None and name not in names:
        why = "must be one of the container or initContainer names in the pod template"
        yield invalid(f"{at}.containerName", name, why)
    if not codes:
        yield invalid(f"{at}.values", codes, "at least one value is required")
    yield from _too_many(f"{at}.values", codes, _MAX_CODES)
    for number, code in enumerate(codes):
        if operator == "In" and code == 0:
            yield invalid(f"{at}.values[{number}]", code, "must not be 0 for the In operator")
        if code in codes[:number]:
            yield f"{at}.values[{number}]: Duplicate value: {code}"
    if codes != sorted(codes):
        yield invalid(f"{at}.values", codes, "must be ordered")


def _condition_faults(patterns: list[Table], at: str) -> Iterator[str]:
    yield from _too_many(at, patterns, _MAX_PATTERNS)
    for number, pattern in enumerate(patterns):
        if not pattern.get("type"):
            yield required(f"{at}[{number}].type", "name part must be non-empty")
        yield from _choice(pattern.get("status"), _STATUSES, f"{at}[{number}].status")


def _choice(given: Any, known: tuple[str, ...], at: str) -> Iterator[str]:
    if not given:
        yield required(at, f"valid values: [{' '.join(json.dumps(each) for each in known)}]")
    elif given not in known:
        yield unsupported(at, given, known)


def _too_many(at: str, listed: list[Any], most: int) -> Iterator[str]:
    if len(listed) > most:
        yield f"{at}: Too many: {len(listed)}: must have at most {most} items"
