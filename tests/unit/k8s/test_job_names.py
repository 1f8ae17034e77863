"""Names of Jobs: equal work has equal names, and every name fits."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.k8s.job_names import JobWork, limit_of_job, name_job
from tests.fakes.kubernetes_rules import is_dns_label

WORK = JobWork(job="get_s3_files", identity="1f" * 16, image=f"sha256:{'ab' * 32}")
TEXTS = st.text(max_size=80)
WORKS = st.builds(JobWork, job=TEXTS, identity=TEXTS | st.lists(TEXTS), plan=TEXTS, image=TEXTS)


def test_name() -> None:
    """A name is the job's slug and ten digits of what it does."""
    assert name_job(WORK) == f"get-s3-files-{WORK.key[:10]}"
    assert WORK.key == "5ce3ffa4f0d6eeff7df3de7c241c71fbe898cb0a3ff6f865e5605e7df3d2bed7"


@pytest.mark.parametrize(
    "other",
    [
        replace(WORK, job="get-s3-files"),
        replace(WORK, identity="2e" * 16),
        replace(WORK, identity=["1f" * 16]),
        replace(WORK, plan="p"),
        replace(WORK, image=f"sha256:{'cd' * 32}"),
    ],
)
def test_other_work(other: JobWork) -> None:
    """Work that differs in anything has another name, even where the slug is the same."""
    assert name_job(other) != name_job(WORK)


@pytest.mark.parametrize(
    ("completions", "length"),
    [(None, 63), (1, 61), (10, 61), (11, 60), (100, 60), (101, 59), (200_000, 56)],
)
def test_limits(completions: int | None, length: int) -> None:
    """The name of an Indexed Job leaves room for its highest index."""
    assert limit_of_job(completions).length == length
    long = name_job(replace(WORK, job="x" * 99), completions)
    assert len(long) == length
    assert long.endswith(f"-{replace(WORK, job='x' * 99).key[:10]}")


@given(work=WORKS, completions=st.none() | st.integers(1, 2**31 - 1))
def test_every_name_fits(work: JobWork, completions: int | None) -> None:
    """Whatever the job is called, its name is a DNS label, and so is that of its last pod."""
    name = name_job(work, completions)
    assert is_dns_label(name if completions is None else f"{name}-{completions - 1}")
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{10}", name)
    assert name == name_job(replace(work), completions)


@given(one=WORKS, other=WORKS)
def test_keys_differ(one: JobWork, other: JobWork) -> None:
    """Two keys are equal only where all that makes them is."""
    assert (one.key == other.key) == (one == other)
