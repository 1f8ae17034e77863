"""A run as a textfile for Prometheus."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lading.errors import MisconfiguredError
from lading.jobs.metrics import require_metrics, write_metrics

AT = datetime(2025, 1, 31, 12, tzinfo=UTC)
STATES = ("done", "failed", "left", "skipped")


def read(path: Path) -> dict[tuple[str, ...], float]:
    """Return the values of a textfile by name and labels, as Prometheus reads them."""
    families = text_string_to_metric_families(path.read_text())
    return {
        (each.name.removeprefix("lading_job_"), *sorted(each.labels.values())): each.value
        for family in families
        for each in family.samples
    }


def write(path: Path, exit_code: int = 0, at: datetime = AT, **counts: int) -> None:
    """Write a run of the job ``copy``."""
    write_metrics(path, "copy", exit_code=exit_code, counts=counts, seconds=1.5, at=at)


def test_a_run_as_prometheus_reads_it(tmp_path: Path) -> None:
    """Items by state, bytes, letters, duration, exit code and times; nothing else is left."""
    write(path := tmp_path / "copy.prom", done=3, failed=1, odd=2, bytes=10, dead_letters=4)
    zeros: dict[tuple[str, ...], float] = {("items", "copy", each): 0.0 for each in STATES}
    assert read(path) == {
        **zeros,
        ("items", "copy", "done"): 3,
        ("items", "copy", "failed"): 1,
        ("items", "copy", "odd"): 2,
        ("bytes", "copy"): 10,
        ("dead_letters", "copy"): 4,
        ("duration_seconds", "copy"): 1.5,
        ("exit_code", "copy"): 0,
        ("last_run_timestamp_seconds", "copy"): AT.timestamp(),
        ("last_success_timestamp_seconds", "copy"): AT.timestamp(),
    }
    assert [each.name for each in tmp_path.iterdir()] == ["copy.prom"]


def test_the_last_success_survives_failures(tmp_path: Path) -> None:
    """A failed run keeps the time of the last success; the next success moves it."""
    path, success = tmp_path / "copy.prom", ("last_success_timestamp_seconds", "copy")
    write(path, exit_code=75)
    assert success not in read(path)
    write(path)
    for number, code in enumerate((65, 75), 1):
        write(path, exit_code=code, at=AT + timedelta(days=number))
        assert read(path)[success] == AT.timestamp()
        assert read(path)["exit_code", "copy"] == code
    write(path, at=AT + timedelta(days=3))
    assert read(path)[success] == (AT + timedelta(days=3)).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\x00",
        b"{{{",
        b'lading_job_last_success_timestamp_seconds{job="copy"} soon',
        b'lading_job_last_success_timestamp_seconds{job="other"} 5',
        b'lading_job_last_success_timestamp_seconds{job="copy',
    ],
)
def test_a_file_of_others_is_replaced(tmp_path: Path, text: bytes) -> None:
    """What cannot be read, or tells of another job, gives no time of success and stops nothing."""
    path = tmp_path / "copy.prom"
    path.write_bytes(text)
    write(path, exit_code=70)
    assert ("last_success_timestamp_seconds", "copy") not in read(path)
    assert read(path)["exit_code", "copy"] == 70


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A missing folder, or a folder in the file's place, is refused: before a run, too."""
    for path in (tmp_path / "none" / "x.prom", tmp_path):
        with pytest.raises(MisconfiguredError, match="metrics: expected a file in a folder"):
            require_metrics(path)
        with pytest.raises(MisconfiguredError, match="metrics: expected a file in a folder"):
            write(path)


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the write itself fails, the standing file stays and the error is ours."""
    write(path := tmp_path / "copy.prom")
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.rename", refuse)
    with pytest.raises(MisconfiguredError, match="No space left on device"):
        write(path, exit_code=70)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["copy.prom"]


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the person hears what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MisconfiguredError, match=r"install lading\[jobs\]"):
        require_metrics(tmp_path / "x.prom")


def test_the_package_is_loaded_when_asked_for() -> None:
    """A run without metrics does not pay for them."""
    code = "import sys, lading.jobs.metrics; print('prometheus_client' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert said.stdout == b"False\n"
