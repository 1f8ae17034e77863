"""A job in the hands of a worker: its child, its heartbeat, its end."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from lading.errors import LadingError, LedgerError
from lading.ledger.claims import finish, heartbeat, read_clock, release_claim
from lading.ledger.ledger import Ledger
from lading.ledger.model import Run
from lading.ledger.names import RUN_VARIABLE
from lading.ledger.queue import KIND
from lading.ledger.read import load_run
from lading.services.redaction import redact
from lading.storage.owner import name_process
from lading.web.child import STOP_S, Child, JobFiles, end_former
from lading.web.ending import Ending, Why, judge_end, was_asked_to_end
from lading.web.results import load_result
from lading.web.served import ProjectHere, Served
from lading.web.slots import jobs_folder

DOIT = (sys.executable, "-P", "-m", "doit")
"""The program. -P: what lies in a project's folder is no module of ours."""


class Stopping:
    """Whether a worker was asked to end. Set by a signal; nothing else happens then."""

    def __init__(self) -> None:
        self.is_asked = False

    def install(self) -> None:
        """Make SIGTERM and SIGINT an orderly end."""
        signal.signal(signal.SIGTERM, self._hear)
        signal.signal(signal.SIGINT, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.is_asked = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a worker waits, in seconds."""

    beat_s: float = 1.0
    """Between two heartbeats."""
    idle_s: float = 0.25
    """Between two looks into an empty queue."""
    again_s: float = 2.0
    """Until a project is tried again that another run is at work in."""
    stop_s: float = STOP_S
    """For a child that was asked to end."""
    troubled_s: float = 5.0
    """Until a ledger that was away is asked again."""


@dataclass(slots=True, kw_only=True)
class Bench:
    """What a worker works with."""

    served: Served
    """The projects."""
    ledger: Ledger
    """Where jobs stand."""
    stopping: Stopping
    """Whether the worker was asked to end."""
    say: Callable[[str], None]
    """Is told what happens, in lines without secrets."""
    config_name: str = ""
    """Configuration of the folder that is served, where it is not the usual one."""
    process: str = field(default_factory=name_process)
    """The worker, as ``storage.owner.name_process`` names it."""
    program: tuple[str, ...] = DOIT
    """What publishes."""
    pace: Pace = Pace()
    """How long it waits."""
    trouble: str = ""
    """What was told last."""

    def warn(self, error: LadingError) -> None:
        """Say what is wrong, once as long as it is the same."""
        if str(error) != self.trouble:
            self.trouble = str(error)
            self.say(redact(f"WARNING: {error}"))


class Job:
    """One job in the hands of a worker.

    Args:
        bench: what its worker works with.
        run: as it was claimed.
    """

    def __init__(self, bench: Bench, run: Run) -> None:
        self._bench = bench
        self._run = run
        self._files = JobFiles(jobs_folder(bench.served.work), run.run_id)
        self._timeout_minutes = bench.served.web.job_timeout_minutes
        self._until = time.monotonic() + self._timeout_minutes * 60
        self._beat_at = 0.0
        self._why: Why = ""

    def carry_out(self) -> None:
        """Do it, and write how it ended, once.

        Effects: see ``Worker.work``.
        """
        run, say = self._run, self._bench.say
        what = f"{run.project} version {run.tag} to {run.environment}"
        say(f"{run.run_id}: {what}, attempt {run.attempt}")
        try:
            ending, exit_code = self._publish()
        except LadingError as error:
            ending, exit_code = Ending("failed", redact(str(error))), None
        self._write(ending, exit_code)
        say(f"{run.run_id}: {ending.state}{f', {ending.error}' if ending.error else ''}")

    def _publish(self) -> tuple[Ending, int | None]:
        """Let doit publish it, as often as another run is found at work there."""
        end_former(self._files, self._look, self._bench.pace.stop_s)
        while not self._look():
            exit_code = self._run_child()
            errors = redact(self._files.read_errors())
            ending = judge_end(exit_code, self._why, errors, self._timeout_minutes)
            if ending.state != "again":
                return ending, exit_code
            self._pause(self._bench.pace.again_s)
        return judge_end(1, self._why, "", self._timeout_minutes), None

    def _run_child(self) -> int:
        project = self._bench.served.projects[self._run.project]
        child = Child(
            self._command(project), project.folder, self._environment(project), self._files
        )
        while (code := child.wait(self._bench.pace.beat_s / 4)) is None:
            if why := self._look():
                return (
                    child.kill()
                    if why == "lost"
                    else child.stop(self._beat, self._bench.pace.stop_s)
                )
        if was_asked_to_end(code):
            self._pause(
                self._bench.pace.beat_s
            )  # where the machine halts, this worker is asked to end as well
        return code

    def _command(self, project: ProjectHere) -> list[str]:
        command = [*self._bench.program, KIND]
        command += [f"version={self._run.tag}", f"environment={self._run.environment}"]
        if self._bench.config_name and project.folder == self._bench.served.base:
            command.append(f"config={self._bench.config_name}")
        return command

    def _environment(self, project: ProjectHere) -> dict[str, str]:
        ledger = {project.config.ledger.url_variable: self._bench.served.url}
        return {**os.environ, **ledger, RUN_VARIABLE: self._run.run_id}

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._look():
            time.sleep(self._bench.pace.beat_s / 10)

    def _look(self) -> Why:
        """Beat, and say why the work must end, where it must; the first reason stays."""
        is_mine, is_cancelled = self._beat()
        if not is_mine:
            self._why = "lost"
        elif not self._why:
            if is_cancelled:
                self._why = "cancelled"
            elif time.monotonic() > self._until:
                self._why = "late"
            elif self._bench.stopping.is_asked:
                self._why = "stopped"
        return self._why

    def _beat(self) -> tuple[bool, bool]:
        """Say that the worker lives, once a second; return (still its job, asked to stop)."""
        if time.monotonic() < self._beat_at + self._bench.pace.beat_s:
            return True, False
        self._beat_at = time.monotonic()
        bench = self._bench
        try:
            at = read_clock(bench.ledger)
            return heartbeat(bench.ledger, self._run.run_id, bench.process, at)
        except LedgerError as error:
            bench.warn(error)  # the work goes on: a ledger that is away comes back
            return True, False

    def _write(self, ending: Ending, exit_code: int | None) -> None:
        """Write the end; a ledger that is away is waited for, unless the worker is to end."""
        while ending.state != "none":
            try:
                self._write_once(ending, exit_code)
            except LedgerError as error:
                self._bench.warn(error)
            else:
                return
            if self._bench.stopping.is_asked:
                return
            time.sleep(self._bench.pace.troubled_s)

    def _write_once(self, ending: Ending, exit_code: int | None) -> None:
        ledger, run_id, process = self._bench.ledger, self._run.run_id, self._bench.process
        at = read_clock(ledger)
        if ending.state == "back":
            release_claim(ledger, run_id, process, at)
            return
        run = load_run(ledger, run_id)
        # what the run wrote itself says more, unless it could not know what ended it
        is_told = run is not None and run.error and not ending.is_outside
        done = ending.state == "completed"
        finish(
            ledger,
            run_id,
            process,
            state=ending.state,
            exit_code=exit_code,
            error="" if is_told else ending.error,
            result=load_result(ledger, self._run) if done else {},
            at=at,
        )
