"""A check for a project's own tests: importing its jobs changes nothing outside."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from lading.services.redaction import redact

_TIMEOUT_S = 60.0
_CHILD = (
    "import json, sys;"
    "request = json.load(open(sys.argv[1], encoding='utf-8'));"
    "sys.path[:] = request['path'];"
    "from lading.jobs.import_guard import main;"
    "main(request)"
)
_TOLD_CHARS = 60


def require_clean_imports(
    *packages: str, base: Path | None = None, timeout_s: float = _TIMEOUT_S
) -> None:
    """Import the jobs of packages in a fresh interpreter, and refuse those that do something.

    Noticed are files opened for writing, files and folders made, removed or renamed, use of the
    network, processes started, threads left running, environment variables, the working folder
    and handlers of signals changed, lines printed, and imports that fail. Bytecode is none of it.

    Args:
        packages: names of packages; the modules in them are chosen as ``load_registry`` does.
        base: folder of the project, first on the import path; None: the working folder.
        timeout_s: seconds after which the interpreter is ended.

    Effects: those of the modules, once, in a child process; what they start is ended with it.

    Raises:
        AssertionError: a line for each effect: the module, what it did, and where.
        ValueError: no package is named.
    """
    if not packages:
        raise ValueError("require_clean_imports: expected at least one package, got none")
    folder = (base or Path.cwd()).resolve()
    with TemporaryDirectory() as scratch:
        end = _run_child(packages, folder, Path(scratch), timeout_s)
        lines = [*_judge(packages, Path(scratch), end)]
    if lines:
        raise AssertionError("\n".join(["expected imports without effects, found:", *lines]))


def _run_child(packages: Sequence[str], base: Path, scratch: Path, timeout_s: float) -> str:
    """Run the child; return how it ended where it did not end by itself, else ""."""
    request = {
        "path": [str(base), *sys.path],
        "packages": packages,
        "base": str(base),
        "report": str(scratch / "report"),
    }
    (scratch / "request").write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-B", "-W", "ignore", "-c", _CHILD, str(scratch / "request")]
    with (scratch / "stdout").open("wb") as out, (scratch / "stderr").open("wb") as err:
        child = subprocess.Popen(  # noqa: S603  this interpreter, and words of ours
            command,
            cwd=base,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"was still being imported after {timeout_s:g} s"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)  # its own session: what it started, too
            child.wait()
    return f"ended the interpreter with {code}"


def _judge(packages: Sequence[str], scratch: Path, end: str) -> Iterator[str]:
    lines = [*_read(scratch / "report")]
    for line in lines:
        if "what" in line:
            place = f" ({line['place']})" if line["place"] else ""
            yield redact(f"{line['module']}: {line['what']}{place}")
    begun = [line["begin"] for line in lines if "begin" in line]
    printed = {name: _last_line(scratch / name) for name in ("stdout", "stderr")}
    if not lines or "end" not in lines[-1]:
        why = f": {printed['stderr']}" if printed["stderr"] else ""
        yield f"{begun[-1] if begun else ' '.join(packages)}: {end}{why}"
        return
    for package in packages:
        if not any(each.startswith(f"{package}.") for each in begun) and not any(
            line.get("module") == package for line in lines
        ):
            yield f"{package}: expected a package with modules, found none"
    for name, text in printed.items():
        if text:  # past Python's own streams, so nobody knows which module it was
            yield f"{' '.join(packages)}: wrote to {name}: {text!r}"


def _read(report: Path) -> Iterator[Mapping[str, str]]:
    if report.exists():
        for line in report.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # cut off where the child ended
                yield json.loads(line)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return redact(lines[-1])[:_TOLD_CHARS] if lines else ""
