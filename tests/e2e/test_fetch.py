"""A build that stands in a bucket: fetched whole, once, from a real S3 server on loopback."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.e2e.project import CONFIG, DODO, TAG, Project, make_build, public_snapshot

RELEASE = ("distribute", f"tag={TAG}")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start an S3 server on a free port of this machine; return its URL."""
    moto = ThreadedMotoServer("127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(server: str, tmp_path: Path) -> str:
    """A bucket that holds a build below the tag."""
    name = "builds-" + os.urandom(4).hex()
    client = _client(server)
    client.create_bucket(Bucket=name)
    make_build(tmp_path / "made")
    for path in sorted((tmp_path / "made").rglob("*")):
        if path.is_file():
            key = f"{TAG}/{path.relative_to(tmp_path / 'made').as_posix()}"
            client.upload_file(str(path), name, key)
    return name


def _client(server: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  boto3 makes its clients at run time
    return boto3.client(
        "s3",
        endpoint_url=server,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def project(bucket: str, tmp_path: Path) -> Project:
    """A project whose build is in the bucket."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "lading.toml").write_text(
        CONFIG.replace('url = "source"', f'url = "s3://{bucket}/{{tag}}"')
    )
    (folder / "dodo.py").write_text(DODO)
    return Project(folder)


@pytest.fixture
def credentials(server: str) -> dict[str, str]:
    """The environment in which s3fs finds the server."""
    return {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_first_release_of_a_remote_build_is_one_command(
    project: Project, credentials: dict[str, str], tmp_path: Path
) -> None:
    """The first `doit distribute` fetches, learns the files, and releases the same bytes."""
    listed = project.run("list", "--all", f"tag={TAG}")
    planned = project.run("plan", f"tag={TAG}", environment=credentials)
    done = project.run(*RELEASE, environment=credentials)
    again = project.run(*RELEASE, environment={**credentials, "AWS_ENDPOINT_URL": "http://[::1]:9"})
    after = project.run("list", "--all", f"tag={TAG}")

    assert listed.returncode == 0, listed.stderr
    assert "download" in planned.stdout, planned.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.clouds / "s3" / "eel-hole" / "release.json").exists()
    fetched = project.work / "releases" / "nightly" / TAG / "build" / "energy.sqlite"
    assert fetched.read_bytes() == (tmp_path / "made" / "energy.sqlite").read_bytes()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing to do" in again.stdout
    assert "compress_sqlite:energy.sqlite" in after.stdout


@pytest.mark.slow
def test_cut_fetch_goes_on(
    project: Project, bucket: str, server: str, credentials: dict[str, str]
) -> None:
    """Files that are here whole are not fetched again; a wrong one is, and a half one never is."""
    build = project.work / "releases" / "nightly" / TAG / "build"
    first = project.run("fetch", f"tag={TAG}", environment=credentials)
    (build.parent / "inputs.json").unlink()
    (build / "weather.sqlite").unlink()
    wrong = bytearray((build / "notes.json").read_bytes())
    wrong[0] ^= 1
    (build / "notes.json").write_bytes(wrong)
    second = project.run("fetch", f"tag={TAG}", environment=credentials)

    assert first.returncode == 0, first.stdout + first.stderr
    assert "12 files fetched, 0 kept" in first.stdout
    assert "2 files fetched, 10 kept" in second.stdout
    assert list(build.rglob("*.part")) == []
    assert (
        _client(server).get_object(Bucket=bucket, Key=f"{TAG}/notes.json")["Body"].read()
        == (build / "notes.json").read_bytes()
    )


def test_typo_below_a_task_to_come(project: Project, credentials: dict[str, str]) -> None:
    """A sub-task that does not exist once the build was fetched is an error, not a success."""
    done = project.run("compress_sqlite:typo", f"tag={TAG}", environment=credentials)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "compress_sqlite:typo: expected a task, found none of that name" in done.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "expected to read s3://",
            marks=pytest.mark.slow,  # botocore takes its time to give up
        ),
        ({"tag": "nightly-2025-02-06"}, "found no files"),
    ],
)
def test_source_that_cannot_be_read(
    project: Project, credentials: dict[str, str], change: dict[str, str], reason: str
) -> None:
    """A bucket that does not answer, or a build that is not there, is one line and exit code 1."""
    tag = change.get("tag", TAG)
    done = project.run("distribute", f"tag={tag}", environment={**credentials, **change})

    assert done.returncode == 1, done.stdout + done.stderr
    assert "fetch failed: source.url: " in done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert public_snapshot(project) == {}


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, None])
def test_damaged_download_is_fetched_again(
    project: Project, credentials: dict[str, str], size: int | None
) -> None:
    """A fetched file that was cut or damaged later is fetched again, and never published."""
    assert project.run(*RELEASE, environment=credentials).returncode == 0
    before = public_snapshot(project)
    path = project.work / "releases" / "nightly" / TAG / "build" / "notes.json"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data[:size] if size else data)
    done = project.run(*RELEASE, environment=credentials)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 file fetched, 11 kept" in done.stdout
    assert public_snapshot(project) == before
