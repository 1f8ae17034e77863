"""Shards of a plan as processes on this machine: as pods, with the same markers and exit codes."""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from lading.errors import MisconfiguredError
from lading.jobs.plans import Plan
from lading.jobs.run import Run
from lading.jobs.settings import JobSettings
from lading.jobs.spec import ExitCode
from lading.jobs.stopping import PARENT_VARIABLE, leash

_POLL_S = 0.05
_END_S = 20.0
_LONGEST_PAUSE_S = 60.0


@dataclass(kw_only=True)
class _Shard:
    """A shard that is still to be done."""

    index: int
    tries: int = 0
    not_before: float = 0.0


_Working = dict[subprocess.Popen[bytes], _Shard]


@dataclass(kw_only=True)
class LocalShards:
    """Does shards as processes, several at once.

    Each is what a pod would run: ``lading run NAME --plan=DIGEST --index=N``. A process that
    fails with 65 has failed for good, one that fails with 78 ends all; any other end is tried
    again. The processes end with this one, however it ends.
    """

    settings: JobSettings
    """The project's settings."""
    workers: int
    """Processes at one time."""
    retries: int = 3
    """Further tries of a shard."""
    first_pause_s: float = 1.0
    """Seconds before the second try of a shard; doubled for each further one."""
    style: str = "json"
    """How they log."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of theirs."""

    def __call__(self, plan: Plan, indexes: Sequence[int], run: Run) -> None:
        """Do the shards of a plan, see ``ShardRunner``."""
        waiting, working = deque(_Shard(index=index) for index in indexes), _Working()
        run.began(len(indexes), None)
        with leash() as pipe:
            try:
                while waiting or working:
                    run.check()
                    for shard in self._due(waiting, self.workers - len(working)):
                        working[self._start(plan, shard.index, run, pipe)] = shard
                    waiting += self._ended(plan, run, working)
                    time.sleep(_POLL_S)
            finally:
                _end_all(list(working))

    def _due(self, waiting: deque[_Shard], room: int) -> Iterator[_Shard]:
        """Draw the shards that may begin now."""
        for _ in range(len(waiting)):
            if room <= 0:
                return
            shard = waiting.popleft()
            if shard.not_before > time.monotonic():
                waiting.append(shard)
            else:
                room -= 1
                yield shard

    def _start(self, plan: Plan, index: int, run: Run, pipe: int) -> subprocess.Popen[bytes]:
        # -P: what stands in this folder is not imported in the place of a library
        command = [sys.executable, "-P", "-m", "lading", "run", plan.job]
        command += [f"--plan={plan.digest}", f"--index={index}", f"--parent={run.job}/{run.id}"]
        if self.settings.config_path is not None:
            command.append(f"--config={self.settings.config_path}")
        variables = {
            **os.environ,
            **self.environment,
            "LADING_LOG": self.style,
            PARENT_VARIABLE: str(pipe),
        }
        variables.pop("LADING_METRICS", None)  # the file is this process's own
        return subprocess.Popen(  # noqa: S603  this interpreter, and no text of others
            command, env=variables, pass_fds=(pipe,), stdin=subprocess.DEVNULL
        )

    def _ended(self, plan: Plan, run: Run, working: _Working) -> list[_Shard]:
        """Take out those that have ended; return those that are to be tried again.

        Raises:
            MisconfiguredError: one has found a wrong setting.
        """
        again = []
        for process, shard in list(working.items()):
            code = process.poll()
            if code is None:
                continue
            del working[process]
            if code == ExitCode.CONFIGURATION:
                raise MisconfiguredError(
                    f"shard {shard.index} of plan {plan.digest[:12]}: expected settings that work,"
                    f" got exit code {code}; its log says which is wrong"
                )
            shard.tries += 1
            if code not in {ExitCode.DONE, ExitCode.BAD_DATA} and shard.tries <= self.retries:
                pause_s = min(self.first_pause_s * 2 ** (shard.tries - 1), _LONGEST_PAUSE_S)
                shard.not_before = time.monotonic() + pause_s
                run.log.warning(
                    "shard %d ended with %d: tried again in %g s", shard.index, code, pause_s
                )
                again.append(shard)
            else:
                run.progress.finish_file(str(shard.index))
        return again


def _end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes in order; by force those that do not heed it in time."""
    for each in processes:
        each.terminate()
    deadline = time.monotonic() + _END_S
    for each in processes:
        with suppress(subprocess.TimeoutExpired):
            each.wait(max(0.1, deadline - time.monotonic()))
            continue
        each.kill()
        each.wait()
