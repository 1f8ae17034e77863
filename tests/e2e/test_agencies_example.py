"""The example of a team with jobs, as it stands in its folder: what its files say agrees."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lading.config import load_config
from lading.jobs.transform.load import load_schema
from lading.jobs.transform.rules import output_names
from lading.storage.open import open_store
from tests.e2e.agencies import CONTEXT, EXAMPLE, LAKE, NAMESPACE, NO_PART, SECRETS, make_landing
from tests.e2e.project import Project


def test_its_settings_are_those_of_the_tests() -> None:
    """Cluster, stores and secrets are named as the tests have them."""
    jobs = load_config(EXAMPLE).config.jobs
    assert jobs is not None
    assert jobs.kubernetes is not None
    assert jobs.stores == (LAKE,)
    assert (jobs.kubernetes.context, jobs.kubernetes.namespace) == (CONTEXT, NAMESPACE)
    assert set(jobs.kubernetes.secrets) == set(SECRETS)


def test_both_schemas_make_the_same_silver() -> None:
    """CSV and JSON lines become the same columns of the same types."""
    csv, jsonl = (
        load_schema(f"readings/{name}.toml", lambda url: open_store(url, EXAMPLE)).schema
        for name in ("csv", "jsonl")
    )
    assert output_names(csv) == output_names(jsonl)
    assert csv == jsonl.model_copy(update={"format": "csv"})


def test_five_thousand_objects_of_a_few_megabytes() -> None:
    """The whole delivery has the size that it is said to have, and dirt of every kind."""
    delivery = make_landing().Delivery(tuple(make_landing().load_agencies()))
    made = [each for _, each in delivery]
    assert len(made) == 5_000
    assert 1 < sum(len(each.data) for each in made) / 1e6 < 10
    assert {each.dirty for each in made} == {"", *make_landing().DIRTY_FILES}
    assert {kind for each in made for _, kind in each.dirty_rows} == set(make_landing().DIRT)
    assert {each.key.rpartition(".")[2] for each in made} == {"csv", "jsonl", "gz"}


def test_its_tasks(tmp_path: Path) -> None:
    """Each job is a task, here and in the cluster."""
    shutil.copytree(EXAMPLE, tmp_path / "rivers", ignore=NO_PART)
    listed = Project(tmp_path / "rivers").run("list", "--all")
    assert listed.returncode == 0, listed.stderr
    for name in ("get_s3_files", "transform", "ingest_api", "report", "daily_totals"):
        assert f"job:{name} " in listed.stdout
        assert f"k8s_job:{name} " in listed.stdout


@pytest.mark.slow
def test_the_readme_can_be_followed(tmp_path: Path) -> None:
    """The commands of the example's README run as they stand, without a cluster."""
    [block] = re.findall(r"(?ms)^```bash\n(.+?)^```", (EXAMPLE / "README.md").read_text())
    shutil.copytree(EXAMPLE, tmp_path / "examples" / "agencies", ignore=NO_PART)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PORT": port, "LADING_LOG": "text"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=240)
    finally:
        with_application(process.pid)
    assert process.returncode == 0, said
    assert "done before, by run" in said
    assert "49 of 50 items are to be done" in said
    assert re.search(r"\nwy +\d+ files +\d+ readings  until 2025-01\n", said)
    assert "last seen (UTC)" in said
    assert ": whole\n" in said
    assert "no dead letters\n" in said
    assert re.search(r"\d passed in [\d.]+s\n$", said)


def with_application(session: int) -> None:
    """End what a shell has left behind."""
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return
