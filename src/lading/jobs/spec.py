"""What a job says of itself: its arguments, what identifies a run of it, what it needs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from lading.config.values import Model
from lading.jobs.refs import ObjectRef, OpenStore

if TYPE_CHECKING:
    from lading.jobs.run import Run

Entrypoint = Callable[[list[str]], int]
"""What a job given as a tuple exposes: it gets its arguments and returns an exit code, or None: 0.
What it prints stays its own: it stands on stdout as it is, between the lines of the log."""


class ExitCode(IntEnum):
    """How ``lading run`` ends. Source: sysexits.h; Kubernetes acts on them (podFailurePolicy)."""

    DONE = 0
    """Done, or nothing was left to do."""
    BAD_DATA = 65
    """EX_DATAERR: data is wrong; trying again is useless."""
    SOFTWARE = 70
    """EX_SOFTWARE: an error that the job did not foresee."""
    TEMPORARY = 75
    """EX_TEMPFAIL: what may pass; the same command goes on."""
    CONFIGURATION = 78
    """EX_CONFIG: arguments, settings, a schema or a bucket are wrong."""


class Arguments(Model):
    """Typed arguments of a job: each field is an option, ``agency_id`` is ``--agency-id``.

    ``Field(description=...)`` is its help; a field with a default may be left out.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a pod of a job asks for; "" is the default of ``[jobs.kubernetes]``."""

    cpu: str = ""
    """CPUs, as Kubernetes writes them: ``500m``, ``2``."""
    memory: str = ""
    """Memory, as Kubernetes writes it: ``512Mi``, ``4Gi``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job, in full. The module that holds it exposes it as ``JOB``."""

    entrypoint: Callable[[Any, "Run"], int | None]
    """Called with the arguments (``arguments``) and the run; returns an exit code, or None: 0. What
    is to be a line of the log goes to ``run.log``; what it prints stays its own."""
    description: str
    """One line: what it does."""
    arguments: type[Arguments] = Arguments
    """Its typed arguments."""
    identity: tuple[str, ...] | None = None
    """Names of the arguments that, with the inputs, identify a run: such a run is done once, and
    skipped as long as its outputs verify. None: each call is a run of its own."""
    inputs: Callable[[Any, OpenStore], Iterable[ObjectRef]] | None = None
    """Lists what a run will read, before it begins: the fingerprint of its inputs is made of it.
    Objects that have neither version nor digest count with their size."""
    store: str = ""
    """Name of the argument that says where it writes (a bucket, path or URL): its marker, dead
    letters and audit trail stand there. "": the first of ``jobs.stores``."""
    by_item: bool = False
    """Whether it works through items with ``run.batch``, so that a retry can name some of them."""
    resources: Resources = field(default_factory=Resources)
    """What a pod of it asks for."""
    timeout_s: float | None = None
    """Seconds after which a run is given up with exit code 75; None: never."""
    bad_data: frozenset[int] = frozenset({int(ExitCode.BAD_DATA)})
    """Exit codes of the entrypoint that mean bad data: the run ends with 65."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the registry found it."""

    name: str
    """Name of its module."""
    module: str
    """Full name of its module."""
    spec: JobSpec | None
    """What it says of itself; None where it is given as a tuple, or is broken."""
    entrypoint: Entrypoint | None
    """The tuple's entrypoint; None where there is a spec, or it is broken."""
    description: str
    """One line: what it does; of a broken one "" ."""
    error: str = ""
    """Why it cannot be run, in one line; "" where it can."""
