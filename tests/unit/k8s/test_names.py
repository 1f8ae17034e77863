"""Names of CronJobs: the plain form, what is cut, and what is refused."""

import re

import pytest

from lading.errors import ClusterError
from lading.k8s.names import Named, Role, check_name, limit_of, name_cron_jobs, require_unique

TWO = ("update", "validate")
THREE = (*TWO, "archive-grib-files")
REGISTRY = {
    "chirps-v3-analysis": TWO,
    "dwd-icon-eu-forecast-5-day": THREE,
    "ecmwf-aifs-ens-forecast": TWO,
    "ecmwf-aifs-single-forecast": TWO,
    "ecmwf-aifs-single-forecast-virtual": TWO,
    "ecmwf-ifs-ens-forecast-15-day-0-25-degree": TWO,
    "ecmwf-ifs-ens-forecast-46-day-0-25-degree": TWO,
    "nasa-imerg-early-analysis": TWO,
    "nasa-imerg-late-analysis": TWO,
    "nasa-smap-level3-36km-v9": TWO,
    "noaa-gefs-analysis": TWO,
    "noaa-gefs-forecast-10-day": TWO,
    "noaa-gefs-forecast-35-day": TWO,
    "noaa-gfs-analysis": TWO,
    "noaa-gfs-forecast": TWO,
    "noaa-hrrr-analysis": TWO,
    "noaa-hrrr-forecast-18-hour": TWO,
    "noaa-hrrr-forecast-48-hour": TWO,
    "noaa-hrrr-forecast-48-hour-virtual": TWO,
    "noaa-mrms-conus-analysis-hourly": TWO,
    "noaa-ndvi-cdr-analysis": TWO,
}


def staged(dataset: str, version: str, *roles: str, prefix: str = "staging-") -> dict[str, str]:
    """Name the CronJobs of a staged version whose roles are monitored."""
    return name_cron_jobs(
        dataset, version, [Role(name=role, monitored=True) for role in roles], prefix=prefix
    )


def live(dataset: str, *roles: str) -> dict[str, str]:
    """Name the CronJobs of production."""
    return name_cron_jobs(dataset, None, [Role(name=role) for role in roles], prefix="")


def refusal(dataset: str, version: str | None, *roles: str) -> str:
    """Return the message with which names are refused."""
    with pytest.raises(ClusterError) as caught:
        name_cron_jobs(dataset, version, [Role(name=role) for role in roles], prefix="staging-")
    return str(caught.value)


@pytest.mark.parametrize(
    ("completions", "monitored", "length", "reason"),
    [
        (1, False, 52, "Kubernetes: a CronJob's name"),
        (10, False, 52, "Kubernetes: a CronJob's name"),
        (11, False, 51, "Kubernetes: pods of an Indexed Job with 11 completions"),
        (100, False, 51, "Kubernetes: pods of an Indexed Job with 100 completions"),
        (101, False, 50, "Kubernetes: pods of an Indexed Job with 101 completions"),
        (1, True, 50, "Sentry: a monitor's slug"),
        (10_001, True, 48, "Kubernetes: pods of an Indexed Job with 10001 completions"),
    ],
)
def test_limits(completions: int, monitored: bool, length: int, reason: str) -> None:  # noqa: FBT001  a row of the table
    """The shortest of the three limits holds, and is named; as a real API server answered."""
    limit = limit_of(Role(name="update", completions=completions, monitored=monitored))
    assert (limit.length, limit.reason) == (length, reason)


def test_plain() -> None:
    """A short name is what people would have written."""
    assert staged("noaa-gfs-analysis", "0.3.0", *TWO) == {
        "update": "staging-noaa-gfs-analysis-v0-3-0-update",
        "validate": "staging-noaa-gfs-analysis-v0-3-0-validate",
    }
    assert live("noaa-gfs-analysis", "update") == {"update": "noaa-gfs-analysis-update"}


def test_one_stem() -> None:
    """The tightest role decides for all of them, whether it is the longest or the most indexed."""
    names = staged("noaa-gefs-forecast-10", "0.3.0", *THREE)
    stems = {name.removesuffix(f"-{role}") for role, name in names.items()}
    assert len(stems) == 1
    assert re.fullmatch(r"staging-noaa-gefs-v0-3-0-[0-9a-f]{6}", stems.pop())

    exact = "d" * (52 - len("staging--v0-3-0-update"))
    few, many = Role(name="update", completions=10), Role(name="update", completions=11)
    assert exact in name_cron_jobs(exact, "0.3.0", [few], prefix="staging-")["update"]
    assert exact not in name_cron_jobs(exact, "0.3.0", [many], prefix="staging-")["update"]


def test_cut_at_the_limit() -> None:
    """A plain name may have as many characters as the limit allows, and not one more."""
    exact = "d" * (50 - len("staging--v0-3-0-validate"))
    assert len(staged(exact, "0.3.0", *TWO)["validate"]) == 50
    assert staged(exact, "0.3.0", *TWO)["validate"] == f"staging-{exact}-v0-3-0-validate"
    longer = staged(f"{exact}e", "0.3.0", *TWO)["validate"]
    assert len(longer) == 50
    assert re.fullmatch(r"staging-d+-v0-3-0-[0-9a-f]{6}-validate", longer)


def test_cut_ends_in_a_word() -> None:
    """Where the cut ends in a dash, the dash goes."""
    name = staged("abcdefghijklmnopqr-tuvwxyz012", "0.3.0", "validate")["validate"]
    assert re.fullmatch(r"staging-abcdefghijklmnopqr-v0-3-0-[0-9a-f]{6}-validate", name)


@pytest.mark.parametrize("version", ["0.3.0", "0.10.0", "2026.01.01-rc1"])
def test_registry(version: str) -> None:
    """A registry of 21 datasets, whose names trimmed without a digest collide, has none that do."""
    named = [
        Named(name=name, owner=f"{dataset} {version} {role}", key=(dataset, version, role))
        for dataset, roles in REGISTRY.items()
        for role, name in staged(dataset, version, *roles).items()
    ]
    named += [
        Named(name=name, owner=f"production {dataset} {role}", key=(dataset, role))
        for dataset, roles in REGISTRY.items()
        for role, name in live(dataset, *roles).items()
    ]
    assert require_unique(named) == []
    assert len({each.name for each in named}) == 2 * (2 * 21 + 1)
    for each in named[:43]:
        assert check_name(each.name, Role(name="any", monitored=True)) is None


@pytest.mark.parametrize(
    ("dataset", "version", "said"),
    [
        ("gfs", "2026.01.01-rc1", "gfs-v2026-01-01-rc1"),
        ("gfs", "0.3.0+b1", "gfs-v0-3-0-b1"),
        ("gfs", "0.3_0", "gfs-v0-3-0"),
        ("gfs", "0.3.0-1", "gfs-v0-3-0-1"),
        ("gfs", "0..3", "gfs-v0-3"),
        ("gfs", "0.3.RC", "gfs-v0-3-rc"),
        ("GFS", "0.3.0", "gfs-v0-3-0"),
        ("g_f.s", "0.3.0", "g-f-s-v0-3-0"),
        ("g--s", "0.3.0", "g-s-v0-3-0"),
        ("smap-v9", "0.3.0", "smap-v9-v0-3-0"),
    ],
)
def test_not_plain(dataset: str, version: str, said: str) -> None:
    """What could be read as another dataset or version bears a digest, and can still be read."""
    name = staged(dataset, version, "update")["update"]
    assert re.fullmatch(f"staging-{said}-[0-9a-f]{{6}}-update", name)


@pytest.mark.parametrize("dataset", ["GFS", "g_f.s", "g--s"])
def test_production_not_plain(dataset: str) -> None:
    """In production a dataset that is no label bears a digest, which no version changes."""
    assert re.fullmatch(r"g[a-z-]+s-[0-9a-f]{6}-update", live(dataset, "update")["update"])


def test_production_cut() -> None:
    """A long dataset is cut in production too, with a digest."""
    name = live("ecmwf-ifs-ens-forecast-46-day-0-25-degree-v2-extended", "update")["update"]
    assert re.fullmatch(r"ecmwf-ifs-ens-forecast-46-day-0-25-deg-[0-9a-f]{6}-update", name)
    assert len(name) <= 52


def test_long_version() -> None:
    """A long version is cut between its segments, and six characters of the dataset stay."""
    name = staged("noaa-gfs-analysis", "2026.01.01.12.30.59", *THREE)["update"]
    assert re.fullmatch(r"staging-noaa-gf-v2026-01-[0-9a-f]{6}-update", name)
    name = staged("noaa-gfs-analysis", "2026.1234.5.6.7.8", *THREE)["update"]
    assert re.fullmatch(r"staging-noaa-gfs-a-v2026-[0-9a-f]{6}-update", name)
    name = staged("gfs", "1234567890123456789012345678901234567890", "update")["update"]
    assert re.fullmatch(r"staging-gfs-v[0-9]{23}-[0-9a-f]{6}-update", name)
    assert len(name) == 50


def test_long_role() -> None:
    """A role that leaves no room is refused, with name, length, and the limit that decides."""
    message = refusal("noaa-gfs-analysis", "0.3.0", "update", "a" * 40)
    assert re.fullmatch(
        r"CronJob 'staging-n-v0-[0-9a-f]{6}-a{40}': expected at most 52 characters"
        r" \(Kubernetes: a CronJob's name\), got 60; shorten the role, or the prefix",
        message,
    )


@pytest.mark.parametrize(
    "role", ["", "Update", "9-day", "up_date", "update-", "-update", "up.date"]
)
def test_role_is_no_label(role: str) -> None:
    """A role begins with a letter and is a label: names are read back by it."""
    assert f"a letter first and no '-' last, as archive-grib-files, got {role!r}" in refusal(
        "gfs", "0.3.0", role
    )


def test_role_twice() -> None:
    """Two CronJobs of one role would have one name."""
    assert refusal("gfs", "0.3.0", "update", "update") == (
        "role of gfs: expected each role once, got 'update' again"
    )


def test_no_roles() -> None:
    """No roles, no names."""
    assert staged("gfs", "0.3.0") == {}


def test_unique_names_the_pairs() -> None:
    """Each pair that shares a name is told; the same thing given twice is one thing."""
    first = Named(name="a-b-c", owner="production a b-c", key=("a", "b-c"))
    second = Named(name="a-b-c", owner="production a-b c", key=("a-b", "c"))
    third = Named(name="a-b-c", owner="production a-b-c", key=("a-b-c", ""))
    assert require_unique([first, first]) == []
    assert require_unique([first, second, first]) == [
        (
            "CronJob 'a-b-c': expected one owner, got production a b-c and production a-b c;"
            " rename a dataset or a role"
        )
    ]
    assert len(require_unique([first, second, third])) == 3


def test_production_can_collide() -> None:
    """In production a dataset and a role may read as another pair; only the registry shows it."""
    names = {live("gfs", "daily-update")["daily-update"], live("gfs-daily", "update")["update"]}
    assert len(names) == 1


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a" * 50, None),
        ("a", None),
        ("9-a", None),
        ("a" * 51, "expected at most 50 characters (Sentry: a monitor's slug), got 51"),
        ("a.b", "expected small letters, digits and '-'"),
        ("A", "expected small letters, digits and '-'"),
        ("a-", "expected small letters, digits and '-'"),
        ("-a", "expected small letters, digits and '-'"),
        ("a_b", "expected small letters, digits and '-'"),
        ("", "expected small letters, digits and '-'"),
        ("a\n", "expected small letters, digits and '-'"),
    ],
)
def test_given_name(name: str, fault: str | None) -> None:
    """A name that somebody wrote is held to the same limits."""
    found = check_name(name, Role(name="update", monitored=True))
    assert (found is None) == (fault is None)
    assert (fault or "") in (found or "")
    assert (repr(name) in (found or "")) == (fault is not None)
