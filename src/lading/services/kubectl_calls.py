"""kubectl, called for one namespace until it is answered, a bounded number of times."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lading.errors import ClusterError, CommandError, ConflictError, GuardError, UnansweredError
from lading.services.kubeconfig import hide, kubeconfig_secrets
from lading.services.kubectl_answers import Fault, Kind, parse_faults, parse_warnings
from lading.services.shell import hear_command
from lading.storage.progress import NO_PROGRESS, Progress

# a person's kuberc may give options of his own to every command (kubectl 1.33)
_VARIABLES = {"KUBECTL_KUBERC": "false", "KUBERC": "off"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a call, after all its tries."""

    stdout: str
    faults: tuple[Fault, ...]
    is_unsure: bool
    """Whether a try may have been done although nobody said so."""

    @property
    def is_absent(self) -> bool:
        """Whether there is no object of that name."""
        return any(each.kind is Kind.ABSENT for each in self.faults)

    @property
    def has_existed(self) -> bool:
        """Whether there was an object of that name already."""
        return any(each.kind is Kind.EXISTS for each in self.faults)


class KubectlCalls:
    """Calls of kubectl that all name one context and one namespace.

    Args:
        context: of the kubeconfig, never the current one by default.
        namespace: the namespace.
        folder: where kubectl runs.
        read_only: refuse to change anything; a dry run is allowed.
        timeout_s: how long one request may take; a call of kubectl twice as long.
        progress: asked now and then; what it raises ends kubectl.
        program: kubectl, or a path to one.

    Attributes:
        pauses_s: seconds before each further try of what passes; all calls are safe to repeat.
        warnings: what the API server warned of, each once.
    """

    def __init__(
        self,
        context: str,
        namespace: str,
        folder: Path,
        *,
        read_only: bool = False,
        timeout_s: float = 60,
        progress: Progress = NO_PROGRESS,
        program: str = "kubectl",
    ) -> None:
        self._context = context
        self._namespace = namespace
        self._folder = folder
        self._read_only = read_only
        self._timeout_s = timeout_s
        self._progress = progress
        self._program = program
        self.pauses_s: Sequence[float] = (1.0, 4.0)
        self.warnings: list[str] = []

    @property
    def place(self) -> str:
        """Context and namespace, as ``context/namespace``."""
        return f"{self._context}/{self._namespace}"

    def _repeat(
        self, arguments: Sequence[str], *, stdin: str = "", flags: Sequence[str] | None = None
    ) -> Answer:
        """Call kubectl until it is answered, a bounded number of times."""
        unsure = False
        for pause_s in (*self.pauses_s, None):
            stdout, faults = self._call(arguments, stdin, self._flags if flags is None else flags)
            passing = any(each.passes for each in faults)
            unsure = unsure or any(each.kind is Kind.LOST for each in faults)
            if pause_s is None or not passing:
                break
            self._progress.relative_update(0)
            time.sleep(pause_s)
        return Answer(stdout, faults, unsure)

    @property
    def _flags(self) -> Sequence[str]:
        return (
            f"--context={self._context}",
            f"--namespace={self._namespace}",
            f"--request-timeout={self._timeout_s:g}s",
        )

    def _call(
        self, arguments: Sequence[str], stdin: str, flags: Sequence[str]
    ) -> tuple[str, tuple[Fault, ...]]:
        limit_s, began = 2 * self._timeout_s, time.monotonic()
        try:
            said = hear_command(
                [self._program, *arguments, *flags],
                folder=self._folder,
                timeout_s=limit_s,
                environment=_VARIABLES,
                stdin=stdin,
                progress=self._progress,
            )
        except CommandError as error:
            if error.exit_code_of_child is None and time.monotonic() - began < limit_s:
                raise
            if error.exit_code_of_child is None:
                text = f"expected an answer, got none within {limit_s:g} s"
                return "", (Fault(Kind.LOST, text),)
            stderr = self._hear(error.stderr)
        else:
            self._hear(said.stderr)
            return said.stdout, ()
        return "", tuple(parse_faults(stderr))

    def _hear(self, stderr: str) -> str:
        """Keep the warnings; return what was said without what the kubeconfig keeps secret."""
        text = hide(stderr, kubeconfig_secrets(os.environ)) if stderr else ""
        self.warnings += [each for each in parse_warnings(text) if each not in self.warnings]
        return text

    def _guard(self, what: str) -> None:
        if self._read_only:
            raise GuardError(f"{self.place}: expected to read only, got {what}")

    def _require(self, answer: Answer) -> str:
        """Return what kubectl printed.

        Raises:
            ConflictError: others hold fields, and nothing else is wrong.
            ClusterError: the call, or objects, were refused; or nothing could be asked.
            UnansweredError: the answer was lost.
        """
        faults = answer.faults
        if not faults:
            return answer.stdout
        final = [each for each in faults if not each.passes]
        lines, hint = _lines(self.place, final or faults)
        if not final and answer.is_unsure:
            raise UnansweredError(lines)
        held = tuple((each.name, *pair) for each in final for pair in each.held)
        if held and all(each.kind is Kind.CONFLICT for each in final):
            conflict = ConflictError(lines)
            conflict.fields, conflict.status = held, 409
            raise conflict
        refused = ClusterError(lines, hint=hint)
        refused.status = (final or faults)[0].status
        raise refused


def _lines(place: str, faults: Iterable[Fault]) -> tuple[str, str]:
    """Return one line a fault, and the hint where all have the same."""
    faults = list(faults)
    hints = {each.hint for each in faults}
    common = hints.pop() if len(hints) == 1 else ""
    lines: list[str] = []
    for each in faults:
        where = f"{place}: {each.name}" if each.name else place
        hint = f"; {each.hint}" if each.hint and not common else ""
        texts = [f'{path} is held by "{manager}"' for path, manager in each.held]
        lines += [f"{where}: {text}{hint}" for text in texts or [each.text]]
    return "\n".join(dict.fromkeys(lines)), common
