"""``lading run``: a job, its arguments, an exit code. This is also what a container begins with."""

import argparse
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from lading.errors import Interrupted, LadingError, MisconfiguredError

_METRICS = "LADING_METRICS"
_INDEX = "JOB_COMPLETION_INDEX"
_EPILOG = """\
exit codes, as sysexits.h has them:
   0  done, or nothing was left to do
  65  bad data: trying again is useless; `lading dlq` shows what failed
  70  an error that the job did not foresee
  75  temporary: the same command goes on
  78  configuration: arguments, settings, a schema, a bucket
 130, 143  interrupted; the same command goes on
any other is what the job itself ended with
"""


class RunParser(argparse.ArgumentParser):
    """Ends as jobs do: a scheduler must not try a wrong command line again."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        hint = " (arguments of the job come after `--`)" if "unrecognized" in message else ""
        self.exit(
            MisconfiguredError.exit_code, f"ERROR: {message}{hint}; see `lading run --help`\n"
        )


def parse_run(given: list[str]) -> argparse.Namespace:
    """Read the command line after ``lading run``; what follows ``--`` is the job's."""
    ours, argv = given, []
    if "--" in given:
        at = given.index("--")
        ours, argv = given[:at], given[at + 1 :]
    options = _parser().parse_args(ours)
    options.argv = tuple(argv)
    return options


def run(given: list[str]) -> int:
    """Run a job, a plan of it, or a shard of a plan; return its exit code."""
    options = parse_run(given)
    # here: `lading init` needs no jobs
    from lading.jobs.retries import exit_code_of  # noqa: PLC0415
    from lading.jobs.stopping import follow_parent  # noqa: PLC0415
    from lading.services.redaction import redact  # noqa: PLC0415

    follow_parent()
    try:
        return _run(options)
    except LadingError as error:
        sys.stderr.write(f"ERROR: {redact(str(error))}\n")
        return exit_code_of(error)
    except KeyboardInterrupt:
        return Interrupted(signal.SIGINT).exit_code


def _run(options: argparse.Namespace) -> int:
    from lading.jobs.arguments import render_usage, wants_help  # noqa: PLC0415  as above
    from lading.jobs.logs import choose_style  # noqa: PLC0415
    from lading.jobs.registry import load_registry  # noqa: PLC0415
    from lading.jobs.running import Order, Telling, run_job  # noqa: PLC0415
    from lading.jobs.settings import settings_here  # noqa: PLC0415

    settings = settings_here(options.config)
    style = choose_style(sys.stdout, options.log)
    metrics = options.metrics or os.environ.get(_METRICS, "")
    job = load_registry(settings.jobs.packages, settings.base).find(options.name)
    if job.spec is not None and wants_help(options.argv):
        sys.stdout.write(render_usage(job.name, job.spec))
        return 0
    telling = Telling(
        out=sys.stdout,
        style=style,
        metrics=Path(metrics) if metrics else None,
        receipt=Path(options.receipt) if options.receipt else None,
    )
    if options.plan or options.over or options.retry:
        from lading.cli.scatter import run_scattered  # noqa: PLC0415

        return run_scattered(options, job, settings, telling)
    require_alone(options)
    order = Order(argv=options.argv, wait_s=options.wait)
    return run_job(job, order, settings, telling).exit_code


def require_alone(options: argparse.Namespace, *, but: tuple[str, ...] = ()) -> None:
    """Refuse options that say nothing here: nobody is to believe that they were heard.

    Raises:
        MisconfiguredError: naming all of them.
    """
    given = {"--per-shard": options.per_shard, "--workers": options.workers, "--key": options.key}
    wrong = [name for name, value in given.items() if value and name not in but]
    if wrong:
        raise MisconfiguredError(f"{', '.join(wrong)}: expected only beside --over, got without it")


def add_run(commands: Any) -> None:
    """Add ``run`` to the commands, so that ``lading --help`` shows it."""
    commands.add_parser("run", help="run a job: lading run NAME -- ARGS...", add_help=False)


def _parser() -> argparse.ArgumentParser:
    parser = RunParser(
        prog="lading run",
        usage="lading run NAME [options] -- ARGS...",
        description="Run a job. `lading jobs` shows all, `lading run NAME -- --help` one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="name of the job")
    parser.add_argument(
        "--log",
        default=os.environ.get("LADING_LOG", ""),
        metavar="STYLE",
        help="json or text [default: text in a terminal, else json; or LADING_LOG]",
    )
    parser.add_argument(
        "--metrics",
        default="",
        metavar="FILE",
        help="textfile for Prometheus, written at the end [or LADING_METRICS]",
    )
    parser.add_argument(
        "--receipt", default="", metavar="FILE", help="JSON of how it ended, written at the end"
    )
    parser.add_argument(
        "--config",
        default="",
        metavar="FILE",
        help="configuration in the place of lading.toml [or LADING_CONFIG]",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="SECONDS",
        help="wait so long where another run of the same work holds its lease [default: 0]",
    )
    _add_over(parser)
    _add_shard(parser)
    return parser


def _add_over(parser: argparse.ArgumentParser) -> None:
    over = parser.add_argument_group("over many items, in processes")
    over.add_argument(
        "--over",
        default="",
        metavar="FILE",
        help="a line an item ({item} in ARGS), or JSON objects a line in .jsonl",
    )
    over.add_argument(
        "--per-shard", type=_number, default=0, metavar="N", help="items of a process [default: 1]"
    )
    over.add_argument(
        "--workers",
        type=_number,
        default=0,
        metavar="N",
        help="processes at one time [default: one a CPU]",
    )
    over.add_argument("--key", default="", help="what makes it another plan of the same items")
    over.add_argument(
        "--retry",
        default="",
        metavar="PLAN",
        help="a smaller plan: the items of PLAN that are not done",
    )


def _add_shard(parser: argparse.ArgumentParser) -> None:
    shard = parser.add_argument_group("a shard of a plan, as a pod runs it")
    shard.add_argument("--plan", default="", metavar="DIGEST", help="the plan")
    shard.add_argument(
        "--index", type=int, default=_index(), metavar="N", help=f"the shard [default: {_INDEX}]"
    )
    shard.add_argument("--parent", default="", help=argparse.SUPPRESS)


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def _index() -> int | None:
    text = os.environ.get(_INDEX, "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None
