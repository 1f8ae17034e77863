"""Jobs around releases: found, run once, taken up again after any end, on a laptop or in pods.

A job is a module with a ``JOB``. This room never knows doit, and never decides what a job does.
What jobs are written with is found here by name, and imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lading.errors import BadDataError, MisconfiguredError, TemporaryError
    from lading.jobs.batch import SKIPPED, Batch
    from lading.jobs.dead_letters import Failure
    from lading.jobs.import_check import require_clean_imports
    from lading.jobs.refs import ObjectRef
    from lading.jobs.retries import RetryPolicy, Threshold
    from lading.jobs.run import Run, current_run
    from lading.jobs.spec import Arguments, ExitCode, JobSpec, Resources

__all__ = [
    "SKIPPED",
    "Arguments",
    "BadDataError",
    "Batch",
    "ExitCode",
    "Failure",
    "JobSpec",
    "MisconfiguredError",
    "ObjectRef",
    "Resources",
    "RetryPolicy",
    "Run",
    "TemporaryError",
    "Threshold",
    "current_run",
    "require_clean_imports",
]

_HOMES = {
    "lading.errors": ("BadDataError", "MisconfiguredError", "TemporaryError"),
    "lading.jobs.batch": ("SKIPPED", "Batch"),
    "lading.jobs.dead_letters": ("Failure",),
    "lading.jobs.import_check": ("require_clean_imports",),
    "lading.jobs.refs": ("ObjectRef",),
    "lading.jobs.retries": ("RetryPolicy", "Threshold"),
    "lading.jobs.run": ("Run", "current_run"),
    "lading.jobs.spec": ("Arguments", "ExitCode", "JobSpec", "Resources"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
