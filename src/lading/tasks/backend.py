"""doit's state, committed for each task at once: a kill forgets nothing that was finished.

doit's own backends save at a clean end only (facts in docs/adr/0002). This one is registered
as the entry point ``lading`` of ``doit.BACKEND``. It makes its file at the first write, so
that looking (``doit list``, ``doit plan``) leaves nothing behind.
"""

import sqlite3
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

_SCHEMA = "create table if not exists tasks (task_id text primary key, data text) without rowid"
# primary result codes: SQL error (another shape), malformed, not a database
_BROKEN = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LAST_KEYS = {"deps:", "ignore:"}  # doit writes 'deps:' last of a task, 'ignore:' alone


class DurableBackend:
    """Task records in one SQLite file, one commit a task.

    Args:
        name: path of the file.
        codec: doit's codec between records and text.
        module_name: part of doit's interface; not used.
    """

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:
        del module_name
        self.name = name
        self._codec = codec
        self._records: dict[str, dict[str, Any]] = {}
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._is_warned = False

    def get(self, task_id: str, dependency: str) -> Any:
        """Return a value of a task's record, or None."""
        with self._lock:
            return self._load(task_id).get(dependency)

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Set a value of a task's record; the record is committed with its last value."""
        with self._lock:
            record = self._load(task_id)
            record[dependency] = value
            if dependency in _LAST_KEYS and _says_something(record):
                data = self._codec.encode(self._records[task_id])
                self._execute("insert or replace into tasks values (?, ?)", (task_id, data))

    def in_(self, task_id: str) -> bool:
        """Say whether there is a record of a task."""
        with self._lock:
            return bool(self._load(task_id))

    def remove(self, task_id: str) -> None:
        """Forget a task, at once."""
        with self._lock:
            if self._load(task_id):
                self._records[task_id] = {}
                self._execute("delete from tasks where task_id = ?", (task_id,))

    def remove_all(self) -> None:
        """Forget every task, at once."""
        with self._lock:
            self._records = {}
            if Path(self.name).exists():
                self._execute("delete from tasks", ())

    def dump(self) -> None:
        """Close the file; everything is saved already."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _load(self, task_id: str) -> dict[str, Any]:
        if task_id not in self._records:
            self._records[task_id] = {}
            if self._connection is not None or Path(self.name).exists():
                rows = self._execute("select data from tasks where task_id = ?", (task_id,))
                for (data,) in rows:
                    with suppress(ValueError):  # a record that cannot be read is none
                        self._records[task_id] = dict(self._codec.decode(data))
        return self._records[task_id]

    def _execute(self, statement: str, values: tuple[str, ...]) -> list[Any]:
        """Run a statement. A broken file is started anew: that costs checks, never bytes."""
        try:
            return self._connect().execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _BROKEN:
                self._warn(error)
                return []
            self.dump()
            Path(self.name).unlink(missing_ok=True)
            return self._connect().execute(statement, values).fetchall()

    def _warn(self, error: sqlite3.Error) -> None:
        """Say once that the state cannot be kept; the run itself goes on."""
        if not self._is_warned:
            self._is_warned = True
            sys.stderr.write(
                f"{self.name}: expected to keep doit's state, got {str(error)!r};"
                " finished tasks will be checked again\n"
            )

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            path = Path(self.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _open(path)
        return self._connection


def _says_something(record: dict[str, Any]) -> bool:
    """Say whether a record can ever make a task up to date; `doit plan` leaves no file behind."""
    return any(record.get(key) for key in ("_values_:", "deps:", "ignore:", "result:"))


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    connection.execute("pragma synchronous = normal")
    if not connection.execute("select 1 from sqlite_master where name = 'tasks'").fetchone():
        connection.execute(_SCHEMA)
    return connection
