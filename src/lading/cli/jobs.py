"""``lading jobs``: which jobs a project has, and what one of them wants."""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lading.jobs.registry import Registry
    from lading.jobs.spec import Job, JobSpec

_WIDTH = 80
_BROKEN = 78  # EX_CONFIG
_HELP = "show the jobs of this project, or what one of them wants"


def add_jobs(commands: Any) -> None:
    """Add ``jobs`` to the commands."""
    jobs = commands.add_parser(
        "jobs",
        help=_HELP,
        description=f"{_HELP.capitalize()}. What is broken stands on stderr, a line each that"
        " begins with ERROR, and does not hide the rest.",
        epilog="Exit codes: 0; 78 with --check where anything is broken, and where NAME is unknown"
        " or broken.",
    )
    jobs.add_argument("name", nargs="?", default="", metavar="NAME", help="a job: its usage")
    jobs.add_argument("--json", action="store_true", help="as JSON, what is broken in it too")
    jobs.add_argument(
        "--check", action="store_true", help="end with 78 where anything is broken, as CI wants it"
    )
    jobs.set_defaults(act=_run)


def render_list(registry: "Registry") -> str:
    """Return the jobs that can be run, a name and a description each, in 80 columns. Pure."""
    jobs = [each for each in registry.jobs if not each.error]
    width = max((len(each.name) for each in jobs), default=0) + 2
    room = max(_WIDTH - width, _WIDTH // 3)
    lines = []
    for job in jobs:
        first, *further = textwrap.wrap(job.description, room) or [""]
        lines += [f"{job.name:<{width}}{first}".rstrip()]
        lines += [f"{'':<{width}}{each}" for each in further]
    return "\n".join(lines) or "no jobs"


def render_faults(registry: "Registry") -> list[str]:
    """Return a line for each broken job, then for what else is wrong. Pure."""
    broken = [f"{each.name} ({each.module}): {each.error}" for each in registry.jobs if each.error]
    return [f"ERROR: {each}" for each in (*broken, *registry.faults)]


def render_job(job: "Job") -> str:
    """Return all that is known of a job, for people. Pure."""
    if job.spec is None:
        usage = (
            f"usage: lading run {job.name} -- ARGS...\n\n{job.description}\n\n"
            f"Its arguments are its own: see `lading run {job.name} -- --help`.\n"
        )
        return f"{usage}\nmodule       {job.module}"
    from lading.jobs.arguments import render_usage  # noqa: PLC0415  see _run

    facts = {"module": job.module, **dict(_facts(job.spec))}
    lines = []
    for what, text in facts.items():
        first, *further = textwrap.wrap(text, _WIDTH - 13)
        lines += [f"{what:<13}{first}", *(f"{'':<13}{each}" for each in further)]
    return f"{render_usage(job.name, job.spec)}\n" + "\n".join(lines)


def table_of(job: "Job", *, is_full: bool = False) -> dict[str, Any]:
    """Return a job as JSON takes it; with the schema of its arguments where it is to be full."""
    table: dict[str, Any] = {
        "name": job.name,
        "module": job.module,
        "description": job.description,
        "error": job.error,
    }
    if job.spec is None or not is_full:
        return table
    spec = job.spec
    return {
        **table,
        "arguments": spec.arguments.model_json_schema(),
        "identity": None if spec.identity is None else list(spec.identity),
        "fingerprints_inputs": spec.inputs is not None,
        "store": spec.store,
        "by_item": spec.by_item,
        "resources": {"cpu": spec.resources.cpu, "memory": spec.resources.memory},
        "timeout_s": spec.timeout_s,
        "bad_data": sorted(spec.bad_data),
    }


def _facts(spec: "JobSpec") -> Iterator[tuple[str, str]]:
    """Yield what a spec says beside its arguments, by a word for people."""
    if spec.identity is None:
        yield "once", "no: each call is a run of its own"
    else:
        parts = [*spec.identity, *(["what it reads"] if spec.inputs else [])]
        yield "once", f"for the same {', '.join(parts) or 'job'}, as long as its outputs verify"
    yield "store", f"--{spec.store.replace('_', '-')}" if spec.store else "first of jobs.stores"
    resources = spec.resources
    yield "cpu", resources.cpu or "as jobs.kubernetes.cpu says"
    yield "memory", resources.memory or "as jobs.kubernetes.memory says"
    yield "timeout", "none" if spec.timeout_s is None else f"{spec.timeout_s:g} s"
    yield "a retry", "item by item" if spec.by_item else "as a whole"
    yield "bad data", f"exit codes {', '.join(map(str, sorted(spec.bad_data)))}"


def _run(options: argparse.Namespace) -> int:
    # here: `lading init` needs none of the jobs' room
    from lading.jobs.registry import load_registry  # noqa: PLC0415
    from lading.jobs.settings import settings_here  # noqa: PLC0415

    settings = settings_here()
    registry = load_registry(settings.jobs.packages, settings.base)
    if options.name:
        job = registry.find(options.name)
        _print(_dump(table_of(job, is_full=True)) if options.json else render_job(job))
    elif options.json:
        jobs = [table_of(each) for each in registry.jobs]
        _print(_dump({"jobs": jobs, "faults": list(registry.faults)}))
    else:
        _print(render_list(registry))
    if not options.json:
        faults = [] if options.name and not options.check else render_faults(registry)
        sys.stderr.writelines(f"{each}\n" for each in faults)
    return _BROKEN if options.check and not registry.is_sound else 0


def _dump(table: dict[str, Any]) -> str:
    return json.dumps(table, indent=2)


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  the command's output; before what goes to stderr
