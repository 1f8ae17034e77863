"""What GitHub knows of a workflow file: the inputs that it takes, and the name of a run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_INPUTS = 25
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


class RefusedInputsError(Exception):
    """The inputs do not fit; the text is GitHub's message."""


@dataclass
class FakeWorkflow:
    """A workflow file of a repository.

    Attributes:
        name: its own name.
        run_name: the template of a run's name, or "".
        inputs: what ``on.workflow_dispatch.inputs`` declares; None without that trigger.
        state: ``active``, ``disabled_manually`` and so on.
    """

    file: str
    workflow_id: int
    name: str
    run_name: str = ""
    inputs: Mapping[str, Mapping[str, Any]] | None = None
    state: str = "active"
    seen: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def parse(cls, file: str, text: str, workflow_id: int) -> "FakeWorkflow":
        """Read a workflow file."""
        table = yaml.safe_load(text)
        events = table.get("on", table.get(True))  # YAML 1.1 reads `on` as a truth value
        inputs = None
        if "workflow_dispatch" in ([events] if isinstance(events, str) else events):
            given = events.get("workflow_dispatch") if isinstance(events, dict) else None
            inputs = (given or {}).get("inputs") or {}
        name, run_name = table.get("name", file), table.get("run-name", "")
        return cls(file, workflow_id, name, run_name, inputs)

    def accept(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Return the inputs of a run: those given, and the defaults of the others.

        Raises:
            RefusedInputsError: as GitHub refuses them.
        """
        if self.inputs is None:
            raise RefusedInputsError("Workflow does not have 'workflow_dispatch' trigger")
        if len(given) > MAX_INPUTS:
            raise RefusedInputsError(f"Invalid request.\n\nNo more than {MAX_INPUTS} properties")
        if unexpected := [name for name in given if name not in self.inputs]:
            listed = ", ".join(f'"{name}"' for name in unexpected)
            raise RefusedInputsError(f"Unexpected inputs provided: [{listed}]")
        found = {name: self._accept_one(name, given) for name in self.inputs}
        self.seen.append(found)
        return found

    def title(self, inputs: Mapping[str, str]) -> str:
        """Return the name of a run."""

        def fill(match: re.Match[str]) -> str:
            kind, _, name = match[1].rpartition(".")
            if kind not in {"inputs", "github.event.inputs"}:
                raise ValueError(f"this fake knows inputs only, got {match[0]!r}")
            return inputs.get(name, "")

        return _EXPRESSION.sub(fill, self.run_name) or self.name

    def _accept_one(self, name: str, given: Mapping[str, Any]) -> str:
        declared = (self.inputs or {})[name] or {}
        if name not in given and declared.get("required") and "default" not in declared:
            raise RefusedInputsError(f"Required input '{name}' not provided")
        value = given.get(name, declared.get("default", ""))
        if not isinstance(value, str) and name in given:
            raise RefusedInputsError(f"Invalid value for input '{name}'")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        kind = declared.get("type", "string")
        if kind == "choice" and text not in map(str, declared.get("options", ())):
            raise RefusedInputsError(
                f"Provided value '{text}' for input '{name}' not in the list of allowed values"
            )
        if kind == "boolean" and text not in {"true", "false"}:
            raise RefusedInputsError(f"Provided value '{text}' for input '{name}' not a boolean")
        return text
