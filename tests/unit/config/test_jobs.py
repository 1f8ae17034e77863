"""What a configuration may say of jobs."""

from pathlib import Path
from typing import Any

import pytest

from lading.config.load import load_config, parse_config
from lading.errors import ConfigError

KUBERNETES = {"context": "test", "namespace": "data"}


def table(kubernetes: dict[str, Any] | None = None, **jobs: Any) -> dict[str, Any]:
    """Return a configuration of jobs alone."""
    more = {} if kubernetes is None else {"kubernetes": {**KUBERNETES, **kubernetes}}
    return {"project": {"name": "acme"}, "jobs": {**jobs, **more}}


def problems(given: dict[str, Any]) -> list[str]:
    """Return what is wrong with a configuration."""
    with pytest.raises(ConfigError) as caught:
        parse_config(given, "lading.toml")
    return [each.removeprefix("lading.toml: ") for each in caught.value.problems]


def test_jobs_alone() -> None:
    """A project of jobs needs neither source, destinations nor channels."""
    found = parse_config(table(packages=["agencies.jobs"]), "lading.toml").jobs
    assert found is not None
    assert (found.packages, found.stores, found.lease_seconds) == (("agencies.jobs",), (), 300)
    assert found.kubernetes is None


def test_an_empty_table() -> None:
    """``[jobs]`` alone offers the jobs that Lading ships."""
    assert parse_config(table(), "lading.toml").jobs is not None


def test_beside_a_release() -> None:
    """Beside channels, all that a release needs is asked for as ever."""
    given = {**table(), "channels": {"nightly": {"tag": "n", "prefixes": ["nightly"]}}}
    assert problems(given) == [
        "source: expected a value, got nothing",
        "destinations: expected a value, got nothing",
    ]


def test_kubernetes() -> None:
    """Where jobs run has defaults for all but where."""
    jobs = parse_config(table({"env": {"AWS_REGION": "us-east-1"}}), "lading.toml").jobs
    assert jobs is not None
    assert jobs.kubernetes is not None
    assert (jobs.kubernetes.cpu, jobs.kubernetes.memory) == ("1", "1Gi")
    assert (jobs.kubernetes.retries, jobs.kubernetes.parallelism) == (3, 50)
    assert jobs.kubernetes.env == {"AWS_REGION": "us-east-1"}


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"packages": ["agencies/jobs"]}, "jobs.packages[0]"),
        ({"packages": ["-x"]}, "jobs.packages[0]"),
        ({"packages": "agencies"}, "jobs.packages"),
        ({"stores": ["s3://user:secret@bucket"]}, "jobs.stores[0]"),
        ({"stores": ["s3://bucket?X-Amz-Signature=1"]}, "jobs.stores[0]"),
        ({"stores": ["s3://bucket/{tag}"]}, "jobs.stores[0]"),
        ({"lease_seconds": 1}, "jobs.lease_seconds"),
        ({"lease": 1}, "jobs.lease"),
        ({"kubernetes": {**KUBERNETES, "namespace": ""}}, "jobs.kubernetes.namespace"),
        ({"kubernetes": {**KUBERNETES, "context": ""}}, "jobs.kubernetes.context"),
        ({"kubernetes": {**KUBERNETES, "cpu": "lots"}}, "jobs.kubernetes.cpu"),
        ({"kubernetes": {**KUBERNETES, "memory": "1 GB"}}, "jobs.kubernetes.memory"),
        ({"kubernetes": {**KUBERNETES, "namespace": "Data"}}, "jobs.kubernetes.namespace"),
        ({"kubernetes": {**KUBERNETES, "image": "--x"}}, "jobs.kubernetes.image"),
        ({"kubernetes": {**KUBERNETES, "queue": "a/b"}}, "jobs.kubernetes.queue"),
        ({"kubernetes": {**KUBERNETES, "env": {"A-B": "x"}}}, "jobs.kubernetes.env."),
        ({"kubernetes": {**KUBERNETES, "parallelism": 0}}, "jobs.kubernetes.parallelism"),
        ({"kubernetes": {**KUBERNETES, "context": "--x"}}, "jobs.kubernetes.context"),
    ],
)
def test_values(given: dict[str, Any], place: str) -> None:
    """What cannot be is one line with its place, and repeats no secret."""
    (problem,) = problems(table(**given))
    assert problem.startswith(place)
    assert ": expected " in problem


def test_twice() -> None:
    """A package or a place that is named twice is a slip."""
    given = table(packages=["a", "b", "a"], stores=["s3://x", "s3://x"])
    assert problems(given) == [
        "jobs.packages[2]: expected each once, got 'a' again",
        "jobs.stores[1]: expected each once, got 's3://x' again",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("APP_TOKEN", "x"),
        ("PGPASSWORD", "x"),
        ("DATABASE_URL", "postgres://ada:lovelace@db/x"),
        ("PROXY", "http://token@proxy:3128"),
    ],
)
def test_secrets(name: str, value: str) -> None:
    """Variables of pods that look like secrets are refused, and never shown."""
    (problem,) = problems(table({"env": {name: value, "AWS_REGION": "x"}}))
    assert problem == (
        f"jobs.kubernetes.env.{name}: expected no secret in the configuration, got one; put it"
        " into a Secret and name that in jobs.kubernetes.secrets"
    )


@pytest.mark.parametrize("name", ["APP_TOKEN_FILE", "AWS_REGION", "GOOGLE_APPLICATION_CREDENTIALS"])
def test_no_secrets(name: str) -> None:
    """What only says where a secret is, is none."""
    parse_config(table({"env": {name: "/var/run/x"}}), "lading.toml")


def test_from_a_file(tmp_path: Path) -> None:
    """A whole file, as a person writes it."""
    (tmp_path / "lading.toml").write_text(
        '[project]\nname = "acme"\n[jobs]\npackages = ["agencies"]\nstores = ["s3://lake"]\n'
        '[jobs.kubernetes]\ncontext = "prod"\nnamespace = "data"\nqueue = "batch"\n'
    )
    jobs = load_config(tmp_path).config.jobs
    assert jobs is not None
    assert jobs.kubernetes is not None
    assert jobs.kubernetes.queue == "batch"
