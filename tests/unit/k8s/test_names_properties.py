"""Names of CronJobs hold whatever datasets, versions and roles there are."""

import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from lading.k8s.names import Named, Role, check_name, limit_of, name_cron_jobs, require_unique

WORDS = st.sampled_from(
    [
        "a",
        "b",
        "v0",
        "v1",
        "-v0",
        "-",
        "--",
        "0",
        "1",
        "3",
        "_",
        "A",
        "B",
        "noaa-forecast",
        "x" * 25,
    ]
)
DATASETS = st.lists(WORDS, min_size=1, max_size=6).map("".join)
PARTS = st.sampled_from(["0", "1", "3", "10", "01", "rc1", "RC1", "a", "2026", "1" * 30])
VERSIONS = st.tuples(PARTS, st.lists(st.tuples(st.sampled_from(".-+_"), PARTS), max_size=4)).map(
    lambda drawn: drawn[0] + "".join("".join(each) for each in drawn[1])
)
ROLES = st.lists(
    st.builds(
        Role,
        name=st.sampled_from(["a", "b", "v1", "a-b", "a--1", "update", "archive-grib-files"]),
        completions=st.integers(1, 100_001),
        monitored=st.booleans(),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda role: role.name,
)
PREFIXES = st.from_regex(r"([a-z][a-z0-9-]{0,9})?", fullmatch=True)
STAGED = st.dictionaries(st.tuples(DATASETS, VERSIONS), ROLES, min_size=1, max_size=8)
# names rest on 24 bits of a digest: the same examples each time
stable = settings(max_examples=70, deadline=None, derandomize=True)


def named(
    staged: dict[tuple[str, str], list[Role]], prefix: str
) -> list[tuple[Named, Role, Sequence[Role]]]:
    """Name all of a registry, each name with its role and all roles beside it."""
    return [
        (Named(name=name, owner=f"{key} {role}", key=(*key, role)), of[role], roles)
        for key, roles in staged.items()
        for of in [{role.name: role for role in roles}]
        for role, name in name_cron_jobs(*key, roles, prefix=prefix).items()
    ]


@stable
@given(staged=STAGED, prefix=PREFIXES)
def test_staging_names_are_unique(staged: dict[tuple[str, str], list[Role]], prefix: str) -> None:
    """Two names are equal only where dataset, version and role are."""
    assert require_unique(each for each, _, _ in named(staged, prefix)) == []


@stable
@given(
    dataset=st.from_regex(r"[ab](-?[abv01]){0,5}", fullmatch=True),
    version=st.from_regex(r"[01][av]?([.][01][av]?){0,3}", fullmatch=True),
    role=st.from_regex(r"[av](-?[av01]){0,4}", fullmatch=True),
)
def test_plain_names_are_read_back(dataset: str, version: str, role: str) -> None:
    """A name without a digest gives dataset, version and role again: so it is nobody else's."""
    name = name_cron_jobs(dataset, version, [Role(name=role)], prefix="s-")[role]
    found = re.fullmatch(r"s-(.+?)-v([0-9][^-]*(?:-[0-9][^-]*)*)-([a-z].*)", name)
    if found is None or name != f"s-{dataset}-v{version.replace('.', '-')}-{role}":
        assert re.search(r"-[0-9a-f]{6}-", name)
        return
    assert (found[1], found[2].replace("-", "."), found[3]) == (dataset, version, role)


@stable
@given(staged=STAGED, prefix=PREFIXES)
def test_names_fit(staged: dict[tuple[str, str], list[Role]], prefix: str) -> None:
    """Every name is a label within the limit of its role, ends in the role, begins as asked."""
    for each, role, _ in named(staged, prefix):
        assert check_name(each.name, role) is None
        assert len(each.name) <= limit_of(role).length
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", each.name)
        assert each.name.startswith(prefix)
        assert each.name.endswith(f"-{role.name}")


@stable
@given(staged=STAGED, prefix=PREFIXES)
def test_one_stem_whatever_the_order(
    staged: dict[tuple[str, str], list[Role]], prefix: str
) -> None:
    """The roles of a version share a stem, and their order changes nothing."""
    for (dataset, version), roles in staged.items():
        names = name_cron_jobs(dataset, version, roles, prefix=prefix)
        assert len({name.removesuffix(f"-{role}") for role, name in names.items()}) == 1
        assert name_cron_jobs(dataset, version, roles[::-1], prefix=prefix) == names


@stable
@given(datasets=st.lists(DATASETS, min_size=1, max_size=8, unique=True), roles=ROLES)
def test_production_names(datasets: list[str], roles: list[Role]) -> None:
    """In production names fit, and a name of two owners is told with both of them."""
    everything = [
        Named(name=name, owner=f"{dataset} {role}", key=(dataset, role))
        for dataset in datasets
        for role, name in name_cron_jobs(dataset, None, roles, prefix="").items()
    ]
    by_role = {role.name: role for role in roles}
    for each in everything:
        assert check_name(each.name, by_role[each.owner.rpartition(" ")[2]]) is None
    faults = require_unique(everything)
    shared = len(everything) - len({each.name for each in everything})
    assert bool(faults) == bool(shared)
    assert len(faults) >= shared
