"""Rollouts as files."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given

from lading.errors import ClusterError, StoreError
from lading.k8s.objects import build_cron_job
from lading.k8s.render import HEADER, FolderChanges, file_names, render_yaml, sync_folder
from lading.k8s.rollout import Rollout
from tests.unit.k8s.manifests import identity, template
from tests.unit.k8s.test_objects import JSON

GOLDEN = Path(__file__).parent / "golden"
_CONTAINER = "spec__jobTemplate__spec__template__spec__containers__0"
_RICH = {
    f"{_CONTAINER}__command": ["bash", "-c", 'set -eu\necho "${image} {role}"\n\n  exec update\n'],
    f"{_CONTAINER}__env": [
        {"name": "YES", "value": "yes"},
        {"name": "PORT", "value": "8080"},
        {"name": "SHORT_SHA", "value": "1234567e12"},
        {"name": "CLOCK", "value": "12:30"},
        {"name": "TITLE", "value": "Météo ☔: {dataset} # not a comment"},
        {"name": "LONG", "value": "word " * 40 + "end"},
        {"name": "EMPTY", "value": ""},
        {"name": "NONE", "value": "null"},
    ],
    "spec__jobTemplate__spec__completions": 4,
    "spec__jobTemplate__spec__completionMode": "Indexed",
    "metadata__labels": {"team": "weather"},
}


def rollout(
    environment: str = "staging", name: str = "staging-gfs-update", /, **changes: Any
) -> Rollout:
    """Return a rollout of one CronJob."""
    who = identity(environment=environment, branch="main")
    cron_job = build_cron_job(template(**changes), name, "37 5 * * *", who, name, "data")
    return Rollout(identity=who, context="prod", namespace="data", cron_jobs=(cron_job,))


def tree(folder: Path) -> Mapping[str, bytes]:
    """Return all files of a folder."""
    files = (each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in files}


@pytest.mark.parametrize(("golden", "changes"), [("plain.yaml", {}), ("rich.yaml", _RICH)])
def test_golden(golden: str, changes: dict[str, Any]) -> None:
    """Known CronJobs are rendered as the files beside this one, and read back as what they are."""
    body = rollout(**changes).cron_jobs[0].body
    expected = (GOLDEN / golden).read_bytes()
    assert render_yaml(body).decode() == expected.decode()
    assert yaml.safe_load(expected) == body


@given(JSON)
@example({"a": "\n x\n"})
@example(
    {"a": ["\n\n", " \n", "a \nb", "\ta\nb", "a\r\nb", "a\x85b\nc", "a\u2028\nb", "\ufeffx\n"]}
)
@example({"a": {"b": [["x\ny"], [{"c": "- a\n- b\n"}]]}})
@example({"=": "=", "<<": "<<", "y": "n", "- a": "? b", "#": "&a *b !c"})
@example(["...\n", "---\n", "--- x\ny", "%YAML 1.1\n"])
def test_round_trip(data: Any) -> None:
    """Whatever JSON can say comes back as it was, below a comment and above a last newline."""
    found = render_yaml({"data": data})
    assert yaml.safe_load(found) == {"data": data}
    assert found.startswith(HEADER)
    assert found.endswith(b"\n")


_LOOKS_LIKE = [
    *("1e3", "1E5", "1234567e12", "08", "0o17", "0x1F", "0b1", "1_000", "1.", ".5", "+1", "-1e-3"),
    *("y", "N", "yes", "Off", "true", "null", "~", "", "2025-02-05", "12:30", ".inf", ".NaN"),
    *("=", "<<"),
]


@pytest.mark.parametrize("text", _LOOKS_LIKE)
def test_texts_that_look_like_something_else(text: str) -> None:
    """A text that any YAML reader might take for another type stands in quotes."""
    line = render_yaml({"a": text}).removeprefix(HEADER).decode()
    assert line in {f"a: '{text}'\n", f'a: "{text}"\n'}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl_reads_the_same(tmp_path: Path) -> None:
    """The YAML reader of kubectl, another one than ours, finds the same object."""
    odd = [
        *_LOOKS_LIKE,
        "a\n b\n",
        "\n x",
        "a \nb",
        "a\r\nb\x85c\u2028",
        "# a: b",
        "☔\ufeff",
        "\t",
        "x" * 999,
    ]
    texts = {f"a/t{at:02}": text for at, text in enumerate(odd)}
    file = tmp_path / "cron_job.yaml"
    body = rollout(**_RICH, metadata__annotations=texts).bodies[0]
    file.write_bytes(render_yaml(body))
    found = subprocess.run(
        ["kubectl", "annotate", "--local", "-f", str(file), "-o", "json", "a/read=it"],
        capture_output=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": os.devnull},
    )
    assert found.returncode == 0, found.stderr
    read = json.loads(found.stdout)
    assert read["metadata"]["annotations"].pop("a/read") == "it"
    assert read["metadata"]["annotations"] == body["metadata"]["annotations"]
    pods = [each["spec"]["jobTemplate"]["spec"]["template"]["spec"] for each in (read, body)]
    for key in ("command", "args", "env"):
        one, other = (each["containers"][0][key] for each in pods)
        # an empty value is left out by kubectl
        assert [{"value": "", **each} if key == "env" else each for each in one] == other


def test_style() -> None:
    """Keys are sorted, texts of several lines and long ones stay as they are, nothing is shared."""
    shared = {"x": [1, {}], "w": []}
    text = "first\nsecond\n"
    long = "word " * 100 + "end"
    found = render_yaml({"b": shared, "a": shared, "text": text, "long": long, "é": "☔"})
    assert found.removeprefix(HEADER).decode() == (
        "a:\n  w: []\n  x:\n  - 1\n  - {}\nb:\n  w: []\n  x:\n  - 1\n  - {}\n"
        f"long: {long}\ntext: |\n  first\n  second\né: ☔\n"
    )


def test_file_names() -> None:
    """Each CronJob has a file below its environment; the order is that of the paths."""
    staged, production = rollout(), rollout("production", "gfs-update")
    found = file_names([staged, production])
    assert list(found) == ["production/gfs-update.yaml", "staging/staging-gfs-update.yaml"]
    assert found["production/gfs-update.yaml"] == render_yaml(production.bodies[0])
    assert file_names([staged, staged]) == file_names([staged])


def test_two_cron_jobs_of_one_name() -> None:
    """Two CronJobs that one file would have to hold are refused."""
    with pytest.raises(
        ClusterError, match=r"staging/staging-gfs-update.yaml: expected one CronJob"
    ):
        file_names([rollout(), rollout(spec__suspend=True)])


def test_folder_follows(tmp_path: Path) -> None:
    """Files are written where they differ, removed where rendered no more; twice is once."""
    one, two = HEADER + b"a: 1\n", HEADER + b"a: 2\n"
    folder = tmp_path / "deep/rendered"
    first = sync_folder(folder, {"production/a.yaml": one, "staging/b.yaml": one})
    assert first.written == ("production/a.yaml", "staging/b.yaml")
    assert first.removed == first.strangers == ()
    before = (folder / "production/a.yaml").stat().st_mtime_ns
    wanted = {"production/a.yaml": one, "production/c.yaml": two}
    assert sync_folder(folder, wanted) == FolderChanges(
        written=("production/c.yaml",), removed=("staging/b.yaml",), strangers=()
    )
    assert tree(folder) == wanted
    assert (folder / "production/a.yaml").stat().st_mtime_ns == before
    assert sync_folder(folder, wanted) == FolderChanges(written=(), removed=(), strangers=())


def test_strangers_are_left_alone(tmp_path: Path) -> None:
    """Files of somebody else stay, are named, and are never written over."""
    own = HEADER + b"a: 1\n"
    strangers = {
        "production/hand.yaml": b"a: 1\n",
        "production/notes.txt": b"x",
        "other/x.yaml": own,
        "top.yaml": own,
        "production/deep/y.yaml": own,
    }
    for path, data in strangers.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "staging/folder.yaml").mkdir(parents=True)
    found = sync_folder(tmp_path, {"production/a.yaml": own})
    assert found == FolderChanges(
        written=("production/a.yaml",), removed=(), strangers=("production/hand.yaml",)
    )
    assert tree(tmp_path) == {**strangers, "production/a.yaml": own}
    with pytest.raises(ClusterError, match=r"^production/hand.yaml: expected a file that lading"):
        sync_folder(tmp_path, {"production/hand.yaml": own, "staging/new.yaml": own})
    assert tree(tmp_path) == {**strangers, "production/a.yaml": own}


def test_edited_file_is_ours_still(tmp_path: Path) -> None:
    """A rendered file that somebody edited below the first line is rendered anew."""
    own = HEADER + b"a: 1\n"
    sync_folder(tmp_path, {"production/a.yaml": own})
    (tmp_path / "production/a.yaml").write_bytes(own + b"b: 2\n")
    assert sync_folder(tmp_path, {"production/a.yaml": own}).written == ("production/a.yaml",)
    assert tree(tmp_path) == {"production/a.yaml": own}


def test_unwritable_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is an error of the store, in one line."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="expected to write it"):
        sync_folder(tmp_path / "file", {"production/a.yaml": HEADER})


def test_bytes_do_not_depend_on_the_process() -> None:
    """Another process, with other hashes, renders the same bytes."""
    code = (
        "import sys\nfrom tests.unit.k8s.test_render import rollout, render_yaml, _RICH\n"
        "sys.stdout.buffer.write(render_yaml(rollout(**_RICH).bodies[0]))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
        env={"PYTHONHASHSEED": "7", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert found.stdout == (GOLDEN / "rich.yaml").read_bytes()
