"""doit's reporter as the face of a release: what runs, what was done, and how to go on."""

import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from doit.exceptions import BaseFail, InvalidTask, UnmetDependency

from lading.errors import LadingError
from lading.ledger.verdict import judge
from lading.services.redaction import redact
from lading.tasks import session as sessions
from lading.tasks import telling
from lading.tasks.board import BOARD, Board, Row
from lading.tasks.display import Display, make_console
from lading.tasks.outside import ROAD
from lading.tasks.record_keeping import RecordKeeper
from lading.tasks.runlock import RunLock
from lading.tasks.wording import count, resume_command

if TYPE_CHECKING:
    from lading.services.announcement import Verdict

END_WITHIN_S = 5  # CI services kill about ten seconds after they ask
TAG_EXAMPLE = "doit distribute type=nightly tag=nightly-2025-02-05 staging=1"
_SEEN = (*ROAD[:-1], "mark_published")  # steps that the world sees
FIRST_STEP = "fetch"  # every other step of a release waits for it


class ReleaseReporter:
    """Shows a run and keeps its rules: variables, one run at a time, nothing phantom.

    Args:
        outstream: where doit wants the report.
        options: doit's reporter options; not used.
    """

    desc = "Lading's own: live in a terminal, plain lines without one"

    def __init__(self, outstream: IO[str], options: Mapping[str, Any]) -> None:
        del options
        self._board: Board = BOARD
        self._display = Display(make_console(outstream), self._board)
        self._begun = False
        self._is_release = False
        self._tasks: Mapping[str, Any] = {}
        self._selected: list[str] = []
        self._closure: list[Any] = []
        self._refusals: list[str] = []
        self._notes: list[str] = []
        self._lock = RunLock(sessions.current().work / "run.lock")
        self._keeper = RecordKeeper(self._board, self._warn)

    def initialize(self, tasks: Mapping[str, Any], selected_tasks: Iterable[str]) -> None:
        """Refuse what may not begin; else say what begins.

        Raises:
            InvalidTask: nothing selected, a variable missing, another run going on.
        """
        session = sessions.current()
        self._tasks, self._selected = tasks, list(selected_tasks)
        self._closure = list(_closure(tasks, [tasks[name] for name in self._selected]))
        ours = [each.meta["lading"] for each in self._closure if "lading" in (each.meta or {})]
        if not self._selected:
            raise InvalidTask(
                f"nothing selected: expected a task; `doit list` shows them, `{TAG_EXAMPLE}`"
                " releases in staging"
            )
        if session.release is None and any(each["needs_release"] for each in ours):
            raise InvalidTask(
                f"tag: expected tag=... on the command line, got nothing; example: {TAG_EXAMPLE}"
            )
        if not session.channel and any(each["needs_channel"] for each in ours):
            channels = [*session.config.channels]
            raise InvalidTask(
                f"type: expected one of {', '.join(channels)}, got nothing;"
                f" example: doit {' '.join(self._selected)} type={channels[0]}"
            )
        self._ask_access_first()
        try:
            for requires in filter(None, (each["requires"] for each in ours)):
                requires(session)
            if any(each["writes"] for each in ours):
                self._lock.acquire()
        except LadingError as error:
            raise InvalidTask(str(error)) from error
        self._board.install_signal_handlers()
        self._begun = True
        self._is_release = any(task.name == "distribute" for task in self._closure)
        if session.release is not None and any(
            each["writes"] and each["needs_release"] for each in ours
        ):
            release = session.release
            places = ", ".join(each.name for each in release.destinations)
            self._display.line(
                f"{release.project}: {release.channel} {release.tag} ({release.environment})"
                f" from {release.source_url} to {places}",
                "bold",
            )
        if any(each["writes"] for each in ours):
            names = {task.name for task in self._closure if task.actions and not _is_quiet(task)}
            wanted = [name for name in tasks if name in names]  # in their order
            self._keeper.begin(session, wanted, self._selected, is_release=self._is_release)
        self._display.start()

    def get_status(self, task: Any) -> None:
        """Note nothing: doit asks whether a task is up to date."""

    def execute_task(self, task: Any) -> None:
        """Note that a task begins."""
        if task.actions and not _is_quiet(task):
            row = self._board.start(task.name)
            self._keeper.started(row)
            self._display.started(row)

    def add_success(self, task: Any) -> None:
        """Note that a task has ended well."""
        if not task.actions or _is_quiet(task):
            return
        values = task.values or {}
        state = "done" if values.get("changed", True) else "unchanged"
        state = "skipped" if values.get("skipped") else state
        self._notes += values.get("notes", ())
        self._display.ended(self._end(task.name, state, str(values.get("summary", ""))))
        for warning in values.get("warnings", ()):
            self._display.line(f"{task.name} warns: {warning}", "yellow")
            self._keeper.warned(task.name, warning)

    def skip_uptodate(self, task: Any) -> None:
        """Note that a task is up to date."""
        if task.actions:
            self._end(task.name, "up to date")

    def skip_ignore(self, task: Any) -> None:
        """Note that a task was switched off by `doit ignore`."""
        self._end(task.name, "skipped", "`doit ignore` switched it off")

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        """Note that a task failed, or was not reached because another did."""
        if isinstance(fail, UnmetDependency):
            self._end(task.name, "not reached", f"needs {fail.message}")
            return
        detail = redact((fail.message or fail.get_name()).strip())
        if fail.traceback:
            last, log = _last_line(fail), self._log(task, fail)
            detail = f"unexpected {last}; the traceback is in {log}"
        row = self._end(task.name, "failed", detail, "".join(fail.traceback or ()))
        self._display.ended(row)

    def cleanup_error(self, exception: BaseFail) -> None:
        """Report an error of a teardown of the project's own tasks."""
        self._refusals.append(exception.get_msg().strip())

    def teardown_task(self, task: Any) -> None:
        """Note nothing: Lading's tasks have no teardown."""

    def runtime_error(self, msg: str) -> None:
        """Keep what refused the run, for its one line."""
        self._refusals.append(msg)

    def complete_run(self) -> None:
        """Close: the table, what failed and why, the command that resumes.

        Raises:
            InvalidTask: a selected task does not exist (doit took its name for one to come).
        """
        self._display.stop()
        for message in self._refusals:
            sys.stderr.write(f"ERROR: {message}\n")
        if not self._begun:
            return
        interrupted = self._close_running()
        if any(_shows_table(task) for task in self._closure):
            self._note_unreached()
        self._keeper.end(self._exit_code(interrupted))
        self._lock.release()
        if any(_shows_table(task) for task in self._closure):
            self._display.line("")
            self._display.table(self._board.rows)
            self._verdict(interrupted)
            for note in self._notes:
                self._display.line(note)
            self._tell(interrupted)
            self._keeper.report()
        else:
            self._failures()  # a look has nothing to resume; its error says what to do
        self._keeper.close(is_brief=interrupted)
        self._refuse_phantoms()

    def _warn(self, text: str) -> None:
        """Tell of trouble beside the release, loudly: it goes on."""
        self._display.line(f"WARNING: {text}", "bold yellow")

    def _end(self, task: str, state: str, detail: str = "", log: str = "") -> Row:
        row = self._board.end(task, state, detail)
        self._keeper.ended(row, log)
        return row

    def _exit_code(self, interrupted: bool) -> int:  # noqa: FBT001
        """Return what the process will end with, as far as that is known here."""
        if interrupted:
            return 128 + (self._board.signal or 2)
        return int(any(row.state == "failed" for row in self._board.rows))

    def _ask_access_first(self) -> None:
        """Begin nothing before the destinations answered, in a run that is to reach them.

        A run that stays on this machine, such as `doit check`, asks no destination.
        """
        names = [each.name for each in self._closure]
        asked = [each for each in names if each.startswith("access:")]
        if FIRST_STEP in names:
            # before doit looks at it: the tasks are read one by one, after this
            self._tasks[FIRST_STEP].task_dep.extend(sorted(asked))

    def _close_running(self) -> bool:
        running = self._board.running
        if running:
            self._board.wait_until_idle(END_WITHIN_S)
        for row in running:
            self._end(row.task, "interrupted", row.describe())
        return bool(running) or isinstance(sys.exc_info()[1], SystemExit)

    def _note_unreached(self) -> None:
        """Say of a release that failed which of the steps that the world sees were not begun."""
        known = {row.task for row in self._board.rows}
        wanted = {task.name for task in self._closure if task.actions and _shows_table(task)}
        if not self._is_release or wanted <= known:
            return
        for name in self._tasks:  # in their order
            if name in wanted - known and name.partition(":")[0] in _SEEN:
                self._end(name, "not reached")

    def _tell(self, interrupted: bool) -> None:  # noqa: FBT001
        session = sessions.current()
        if not self._is_release or session.release is None:
            return
        rows = self._board.rows
        verdict: Verdict = "released"
        if interrupted or any(row.state == "failed" for row in rows):
            verdict = "interrupted" if interrupted else "failed"
        elif {row.state for row in rows} <= telling.NOTHING_DONE:
            verdict = "unchanged"
        for fault in telling.close(session, rows, verdict, self._keeper.run):
            self._warn(fault)

    def _verdict(self, interrupted: bool) -> None:  # noqa: FBT001
        rows, failed = self._board.rows, self._failures()
        if failed or interrupted:
            what = "interrupted" if interrupted else f"{count(len(failed), 'task')} failed"
            if self._is_release and self._keeper.run is not None:
                sys.stderr.write(f"{judge(self._keeper.run).sentence}\n")
            sys.stderr.write(
                f"{what}; to resume, run the same command: {resume_command(sys.argv)}\n"
            )
            return
        if {row.state for row in rows} <= telling.NOTHING_DONE:
            self._display.line("nothing to do: everything is as released", "bold")
        elif self._is_release:
            self._display.line("released: every object was read back", "bold green")

    def _failures(self) -> list[Row]:
        failed = [row for row in self._board.rows if row.state == "failed"]
        for row in failed:
            sys.stderr.write(f"{row.task} failed: {row.detail}\n")
        return failed

    def _refuse_phantoms(self) -> None:
        # a name below a delayed task that turned out not to exist: doit would end with 0
        for name in self._selected:
            task = self._tasks[name]  # the real one, where its creator was delayed
            is_delayed = task.loader is False
            if is_delayed and not (task.subtask_of or task.has_subtask or task.actions):
                raise InvalidTask(f"{name}: expected a task, found none of that name")

    def _log(self, task: Any, fail: BaseFail) -> str:
        path = sessions.current().run_folder / "logs" / f"{task.name.replace('/', '_')}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(redact("".join(fail.traceback)), encoding="utf-8")
        except OSError as error:
            return f"no log: {error.strerror}"
        return _relative(path)


def _closure(tasks: Mapping[str, Any], selected: Iterable[Any]) -> Iterable[Any]:
    """Yield the selected tasks and all that they need, each once."""
    seen: set[str] = set()
    waiting = list(selected)
    while waiting:
        task = waiting.pop()
        if task.name in seen:
            continue
        seen.add(task.name)
        yield task
        waiting += [tasks[name] for name in (*task.task_dep, *task.setup_tasks) if name in tasks]


def _is_quiet(task: Any) -> bool:
    """Say whether a task prints its own answer and is no step of a release."""
    return bool((task.meta or {}).get("lading", {}).get("quiet"))


def _shows_table(task: Any) -> bool:
    return "lading" in (task.meta or {}) and not _is_quiet(task)


def _last_line(fail: BaseFail) -> str:
    text = "".join(fail.traceback).strip() or traceback.format_exc()
    return redact(text.splitlines()[-1])


def _relative(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
