"""The server's beginning: what refuses it, what it warns of; and how it keeps its workers."""

import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lading.cli import main
from lading.ledger.ledger import Ledger
from lading.storage.owner import name_process
from lading.web.serve import is_loopback, warn_of
from lading.web.slots import find_holder, hold, server_path, slot_path
from lading.web.supervise import Supervisor
from tests.unit.web.publishers import make_bench, wait_until

CONFIG = """
[project]
name = "maps"
[source]
url = "versions/{tag}"
[destinations.cloud]
url = "cloud"
[channels.staging]
tag = '\\d+'
root = "staging"
prefixes = ["maps"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a project, as the one that commands work in."""
    (tmp_path / "lading.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LADING_LEDGER_URL", raising=False)
    return tmp_path


@dataclass
class Ran:
    """What a server would have run with."""

    served: Any = None
    workers: int = -1
    port: int = 0
    config_name: str = ""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Give what a server would run with: nothing is served, and no worker begun."""
    found = Ran()

    def run(served: Any, ledger: Ledger, listener: socket.socket) -> None:
        assert ledger.url.startswith("sqlite:///")
        found.served, found.port = served, listener.getsockname()[1]

    class Idle:
        def __init__(self, served: Any, count: int, say: Any, config_name: str) -> None:
            del served, say
            found.workers, found.config_name = count, config_name

        def start(self) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setattr("lading.web.serve._run", run)
    monkeypatch.setattr("lading.web.serve.Supervisor", Idle)
    return found


def test_what_it_says(folder: Path, ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says where it is, whether reading needs a token, and how one is made."""
    assert main(["serve", "--port", "0"]) == 0
    assert capsys.readouterr().err == (
        f"http://127.0.0.1:{ran.port} serves maps; reading needs a token, publishing one of an"
        " admin; make one with: lading token add NAME --role viewer|admin\n"
    )
    assert (ran.workers, ran.config_name, ran.served.base) == (2, "", folder)
    assert find_holder(server_path(folder / "build")) == ""


def test_options(folder: Path, ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    """Options count more than the configuration; another one is named to workers in full."""
    (folder / "lading.toml").rename(folder / "other.toml")
    options = ["--port", "0", "--workers", "5", "--open", "--config", "other.toml"]
    assert main(["serve", *options]) == 0
    assert "reading needs no token, publishing" in capsys.readouterr().err
    assert ran.served.web.open
    assert (ran.workers, ran.config_name) == (5, str(folder / "other.toml"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_reached_by_others(  # tests listen on loopback only
    ran: Ran, folder: Path, host: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that others reach says so first, and loudly."""
    monkeypatch.setattr(
        "lading.web.serve._listen", lambda _: socket.create_server(("127.0.0.1", 0))
    )
    assert main(["serve", "--port", "0", "--host", host]) == 0
    warning, line = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"WARNING: listens on {host}: whoever reaches this machine")
    assert "TLS" in warning
    assert line.startswith(f"http://{'[::]' if host == '::' else host}:{ran.port} serves")
    assert folder.exists()


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback(host: str, wanted: bool) -> None:  # noqa: FBT001
    """Only an interface that nobody else reaches goes without a warning."""
    assert is_loopback(host) == wanted
    assert bool(warn_of(host)) != wanted


def test_a_port_that_is_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is told in one line, and nothing is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"ERROR: 127.0.0.1:{port}: expected an address that is free, got 'Address already in use';"
        " say another with --host or --port\n"
    )
    assert not list((folder / "build" / "workers").glob("[0-9]*"))
    assert find_holder(server_path(folder / "build")) == ""


@pytest.mark.parametrize("host", ["nowhere.invalid", "300.1.1.1", "192.0.2.1"])
def test_no_such_interface(folder: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An interface that this machine does not have is told in one line."""
    assert main(["serve", "--port", "0", "--host", host]) == 1
    said = capsys.readouterr().err
    assert said.startswith("ERROR: ")
    assert len(said.splitlines()) == 1
    assert folder.exists()


def test_another_server(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second server of one folder is refused: exit code 2, one line."""
    held = hold(server_path(folder / "build"))
    assert main(["serve", "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert said.endswith("build: expected no other server, found one at work; end it first\n")
    assert held is not None
    held.close()


def test_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that is wrong is told as everywhere; one that wants no ledger, as well."""
    config = folder / "lading.toml"
    config.write_text(CONFIG + "[web]\nwrokers = 3\n")
    for command in ("serve", "worker"):
        assert main([command]) == 3
        assert "web.wrokers" in capsys.readouterr().err
    config.write_text(CONFIG + "[ledger]\nenabled = false\n")
    for command in ("serve", "worker"):
        assert main([command]) == 1
        assert "ledger.enabled: expected true, got false" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--host", ""],
        ["--port", "70000"],
        ["--port", "-1"],
        ["--workers", "65"],
        ["--workers", "x"],
        ["more"],
    ],
    ids=" ".join,
)
def test_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line is one line, and exit code 3."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", *wrong])
    assert ended.value.code == 3
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_without_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra one line says what to install."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 3
    assert capsys.readouterr().err == (
        "ERROR: lading serve: expected the extra `web`, found no module 'uvicorn';"
        " pip install 'lading[web]'\n"
    )
    assert not (folder / "build").exists()


HOLDS = """
import sys
from pathlib import Path
from lading.web.slots import hold
held = hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


class Supervised(Supervisor):
    """Begins what a test wants in the place of workers."""

    program: tuple[str, ...] = ("sleep", "60")

    def _command(self, slot: Any) -> tuple[str, ...]:
        assert super()._command(slot)[3:] == [
            "lading",
            "worker",
            "--slot",
            str(slot.number),
            "--server",
            name_process(),
        ]
        return self.program

    def processes(self) -> list["subprocess.Popen[bytes]"]:
        """Return what was begun and is known to be at work."""
        return [each.worker for each in self._slots if each.worker is not None]

    def end(self) -> None:
        """End what was begun."""
        for each in self.processes():
            each.kill()
            each.wait()


@pytest.fixture
def supervised(tmp_path: Path, sqlite_ledger: Ledger) -> Any:
    """Give a supervisor of two slots that was not started, and what it said."""
    lines: list[str] = []
    supervisor = Supervised(make_bench(tmp_path, sqlite_ledger, "").served, 2, lines.append)
    yield supervisor, lines
    supervisor.end()


def test_each_slot_has_a_worker(supervised: Any) -> None:
    """A worker is begun in each slot, once; one that ends is replaced at the next look."""
    supervisor, lines = supervised
    supervisor.look(100)
    first, second = supervisor.processes()
    supervisor.look(100.5)
    assert supervisor.processes() == [first, second]
    first.kill()
    first.wait()
    supervisor.look(107)
    third, same = supervisor.processes()
    assert same is second
    assert third is not first
    assert third.poll() is None
    assert lines == []


def test_a_slot_that_is_taken(supervised: Any, tmp_path: Path) -> None:
    """A slot that a worker of an earlier server holds is left alone until that one ends."""
    supervisor, _ = supervised
    path = slot_path(tmp_path / "work", 1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as earlier:
        assert earlier.stdout is not None
        assert earlier.stdout.readline() == b"held\n"
        supervisor.look(100)
        assert len(supervisor.processes()) == 1
        earlier.kill()
    supervisor.look(101)
    assert len(supervisor.processes()) == 2


def test_workers_that_end_at_once(supervised: Any) -> None:
    """A worker that cannot work is begun again with growing pauses, and that is told."""
    supervisor, lines = supervised
    supervisor.program = ("false",)
    now, begun = 0.0, 0
    while now < 200:
        before = supervisor.processes()
        supervisor.look(now)
        after = supervisor.processes()
        begun += sum(each not in before for each in after)
        for each in after:
            each.wait()
        now += 0.5
    assert begun < 40
    assert "WARNING: worker 0 ends again and again (1); see" in lines[0]


def test_it_goes_on_by_itself(supervised: Any) -> None:
    """Once started it looks by itself, and begins no more once it is closed."""
    supervisor, _ = supervised
    supervisor.start()
    wait_until(lambda: len(supervisor.processes()) == 2)
    supervisor.close()
    first = supervisor.processes()[0]
    first.kill()
    first.wait()
    assert supervisor.processes()[0] is first
