"""What the fake Kubernetes refuses, and its words: those of a real API server."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_defaults import canonical_quantity
from tests.fakes.kubernetes_rules import (
    LABEL_FAULT,
    NAME_PART_FAULT,
    SUBDOMAIN_FAULT,
    TZ_FAULT,
    VALUE_FAULT,
)
from tests.fakes.kubernetes_schedule import schedule_fault
from tests.unit.fakes.kubernetes_client import (
    JOBS,
    POD,
    REMOVED,
    Client,
    changed,
    cron_job,
    job,
    said,
)

JOB = "spec.jobTemplate.spec"
LONG = "x" * 64
RESTART = f'{POD}.restartPolicy: Required value: valid values: "OnFailure", "Never"'
POLICIES = '"Never": supported values: "Allow", "Forbid", "Replace"'
HIGH = (
    "must be less than or equal to 10000 when completions are above 100000 and used with backoff"
    " limit per index"
)
NEGATIVE = "Invalid value: -1: must be greater than or equal to 0"


def wrong(field: str, value: str, why: str) -> str:
    """Say as the API does that a text is wrong."""
    return f'{field}: Invalid value: "{value}": {why}'


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    """Serve a cluster in which nothing is kept."""
    with FakeKubernetes() as server:
        yield Client(server)


NAMES = [
    ("a" * 52, ""),
    ("with.dots-1", ""),
    ("a" * 53, f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters'),
    ("Upper", f'metadata.name: Invalid value: "Upper": {SUBDOMAIN_FAULT}'),
    ("a+b", f'metadata.name: Invalid value: "a+b": {SUBDOMAIN_FAULT}'),
    ("a_b", f'metadata.name: Invalid value: "a_b": {SUBDOMAIN_FAULT}'),
    ("a-", f'metadata.name: Invalid value: "a-": {SUBDOMAIN_FAULT}'),
    ("", "metadata.name: Required value: name or generateName is required"),
]


@pytest.mark.parametrize(("name", "fault"), NAMES)
def test_names(shared: Client, name: str, fault: str) -> None:
    """A CronJob's name is a DNS subdomain of at most 52 characters."""
    refused = shared.create(cron_job(name), dryRun="All")
    assert refused.status_code == (422 if fault else 201)
    if fault:
        assert said(refused) == fault
        assert refused.json()["reason"] == "Invalid"


TEXTS = {
    SUBDOMAIN_FAULT: (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
        " '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex"
        " used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*"
        "[a-z0-9])?)*')"
    ),
    LABEL_FAULT: (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and"
        " must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex"
        " used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ),
    VALUE_FAULT: (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or"
        " '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or"
        " 'my_value',  or '12345', regex used for validation is"
        " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ),
    TZ_FAULT: "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
}


@pytest.mark.parametrize(("text", "told"), TEXTS.items())
def test_texts(text: str, told: str) -> None:
    """The API's longer texts are told as they are."""
    assert text == told


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"metadata.labels.a": "0.3.0+b1"}, wrong("metadata.labels", "0.3.0+b1", VALUE_FAULT)),
    ({"metadata.labels.a": "stage/a"}, wrong("metadata.labels", "stage/a", VALUE_FAULT)),
    ({"metadata.labels.a": LONG}, wrong("metadata.labels", LONG, "must be no more than 63 bytes")),
    (
        {"metadata.labels": {"lading/x y": "a"}},
        wrong("metadata.labels", "lading/x y", f"name part {NAME_PART_FAULT}"),
    ),
    (
        {"metadata.annotations.a": "b" * 262144},
        "metadata.annotations: Too long: may not be more than 262144 bytes",
    ),
    (
        {f"{JOB}.template.metadata.labels.a": "b/c"},
        wrong(f"{JOB}.template.labels", "b/c", VALUE_FAULT),
    ),
    ({"spec.schedule": REMOVED}, "spec.schedule: Required value"),
    (
        {"spec.schedule": "0 * * *"},
        wrong("spec.schedule", "0 * * *", "expected exactly 5 fields, found 4: [0 * * *]"),
    ),
    ({"spec.schedule": "TZ=UTC 0 * * * *"}, wrong("spec.schedule", "TZ=UTC 0 * * * *", TZ_FAULT)),
    (
        {"spec.timeZone": "Mars/Base"},
        wrong("spec.timeZone", "Mars/Base", "unknown time zone Mars/Base"),
    ),
    (
        {"spec.concurrencyPolicy": "Never"},
        f"spec.concurrencyPolicy: Unsupported value: {POLICIES}",
    ),
    ({"spec.startingDeadlineSeconds": -1}, f"spec.startingDeadlineSeconds: {NEGATIVE}"),
    ({"spec.failedJobsHistoryLimit": -1}, f"spec.failedJobsHistoryLimit: {NEGATIVE}"),
    ({f"{JOB}.backoffLimit": -1}, f"{JOB}.backoffLimit: {NEGATIVE}"),
    ({f"{POD}.restartPolicy": "Always"}, RESTART),
    ({f"{POD}.restartPolicy": REMOVED}, RESTART),
    ({f"{POD}.containers": []}, f"{POD}.containers: Required value"),
    ({f"{POD}.containers.0.image": REMOVED}, f"{POD}.containers[0].image: Required value"),
    ({f"{POD}.containers.0.name": "Main"}, wrong(f"{POD}.containers[0].name", "Main", LABEL_FAULT)),
    (
        {f"{POD}.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        f'{POD}.containers[0].volumeMounts[0].name: Not found: "v"',
    ),
    (
        {f"{JOB}.completionMode": "Indexed"},
        f"{JOB}.completions: Required value: when completion mode is Indexed",
    ),
    (
        {f"{JOB}.backoffLimitPerIndex": 1},
        f"{JOB}.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
    ),
]


@pytest.mark.parametrize(("changes", "fault"), FAULTS)
def test_faults(shared: Client, changes: dict[str, Any], fault: str) -> None:
    """What the API refuses of a CronJob is refused, whether created or applied."""
    body = changed(cron_job(), changes)
    for refused in (shared.create(body, dryRun="All"), shared.apply(body, dryRun="All")):
        assert refused.status_code == 422
        assert said(refused) == fault


IGNORE = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
INDEXED: list[tuple[dict[str, Any], str]] = [
    ({"completions": 4, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4}, ""),
    (
        {"completions": 4, "backoffLimitPerIndex": 1, "maxFailedIndexes": 5},
        "maxFailedIndexes: Invalid value: 5: must be less than or equal to completions",
    ),
    (
        {"completions": 4, "maxFailedIndexes": 2},
        "backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
    ),
    (
        {"completions": 200_000, "backoffLimitPerIndex": 1},
        "maxFailedIndexes: Required value: must be specified when completions is above 100000",
    ),
    (
        {
            "completions": 200_000,
            "backoffLimitPerIndex": 1,
            "maxFailedIndexes": 9,
            "parallelism": 10_001,
        },
        f"parallelism: Invalid value: 10001: {HIGH}",
    ),
    (
        {"completions": 2, "podFailurePolicy": {"rules": [IGNORE] * 21}},
        "podFailurePolicy.rules: Too many: 21: must have at most 20 items",
    ),
]


@pytest.mark.parametrize(("spec", "fault"), INDEXED)
def test_indexed(shared: Client, spec: dict[str, Any], fault: str) -> None:
    """An Indexed job's numbers must fit each other."""
    body = cron_job()
    body["spec"]["jobTemplate"]["spec"] |= {"completionMode": "Indexed", **spec}
    asked = shared.create(body, dryRun="All")
    assert (said(asked) if asked.status_code == 422 else "") == (f"{JOB}.{fault}" if fault else "")


@pytest.mark.parametrize(("length", "completions", "fits"), [(61, 10, True), (61, 11, False)])
def test_job_hostname(shared: Client, length: int, completions: int, *, fits: bool) -> None:
    """A Job whose last pod's hostname would be no DNS label is refused."""
    name = "a" * length
    body = job(name, completionMode="Indexed", completions=completions)
    asked = shared.create(body, JOBS, dryRun="All")
    assert asked.status_code == (201 if fits else 422)
    if not fits:
        why = f"will not able to create pod with invalid DNS label: {name}-{completions - 1}"
        assert said(asked) == f'metadata.name: Invalid value: "{name}": {why}'


def test_plain_job_name(shared: Client) -> None:
    """A Job's name also is a label of its pods, and so has at most 63 characters."""
    asked = shared.create(job(LONG), JOBS, dryRun="All")
    assert "spec.template.labels: Invalid value:" in said(asked)
    assert "must be no more than 63 bytes" in said(asked)


def test_all_faults_at_once(shared: Client) -> None:
    """Every fault of an object is told, in the message and one by one in the causes."""
    changes = {"metadata.name": "B" * 53, "spec.schedule": "x", f"{POD}.restartPolicy": "Always"}
    refused = shared.create(changed(cron_job(), changes))
    details = refused.json()["details"]
    assert [each["field"] for each in details["causes"]] == [
        "metadata.name",
        "spec.schedule",
        f"{POD}.restartPolicy",
        "metadata.name",
    ]
    assert details["kind"] == "CronJob"
    assert refused.json()["message"].startswith(f'CronJob.batch "{"B" * 53}" is invalid: [')
    assert shared.server.cron_jobs() == {}


SCHEDULES = [
    ("0 0 4,10,16,22 * *", ""),
    ("43 6/6 * * *", ""),
    ("*/15 0-12/3 1 jan-mar mon,Fri", ""),
    ("@daily", ""),
    ("@every 1h30m", ""),
    ("@often", "unrecognized descriptor: @often"),
    ("60 * * * *", "end of range (60) above maximum (59): 60"),
    ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
    ("* * * * 7", "end of range (7) above maximum (6): 7"),
    ("9-3 * * * *", "beginning of range (9) beyond end of range (3): 9-3"),
    ("70/5 * * * *", "beginning of range (70) beyond end of range (59): 70/5"),
    ("*/0 * * * *", "step of range should be a positive number: */0"),
    ("1/2/3 * * * *", "too many slashes: 1/2/3"),
    ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
    (
        "x * * * *",
        'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax',
    ),
]


@pytest.mark.parametrize(("schedule", "fault"), SCHEDULES)
def test_schedules(schedule: str, fault: str) -> None:
    """Schedules are read as the API's parser reads them."""
    assert schedule_fault(schedule) == fault


QUANTITIES = [
    ("1000m", "1"),
    ("1024Mi", "1Gi"),
    ("1500m", "1500m"),
    (2, "2"),
    ("0.5", "500m"),
    ("1.5Gi", "1536Mi"),
    ("2000", "2k"),
    ("7Gi", "7Gi"),
    ("0", "0"),
]


@pytest.mark.parametrize(("given", "kept"), QUANTITIES)
def test_quantities(given: Any, kept: str) -> None:
    """A quantity is written in one way."""
    assert canonical_quantity(given) == kept


def test_bad_quantity(shared: Client) -> None:
    """What is no quantity cannot be read at all."""
    limits = {f"{POD}.containers.0.resources": {"limits": {"cpu": "lots"}}}
    refused = shared.create(changed(cron_job(), limits))
    assert refused.status_code == 400
    assert "quantities must match the regular expression" in said(refused)


@pytest.mark.parametrize(
    ("validation", "status", "warning"),
    [
        ("Strict", 400, ""),
        ("Warn", 201, '299 - "unknown field \\"spec.xyz\\""'),
        ("", 201, '299 - "unknown field \\"spec.xyz\\""'),
        ("Ignore", 201, ""),
    ],
)
def test_unknown_field(shared: Client, validation: str, status: int, warning: str) -> None:
    """An unknown field is refused, or warned of and dropped, or dropped."""
    query = {"fieldValidation": validation} if validation else {}
    asked = shared.create(cron_job(spec__xyz=1), dryRun="All", **query)
    assert asked.status_code == status
    assert asked.headers.get("Warning", "") == warning
    if status == 400:
        where = 'CronJob in version "v1" cannot be handled as a CronJob'
        assert said(asked) == f'{where}: strict decoding error: unknown field "spec.xyz"'
    else:
        assert "xyz" not in asked.json()["spec"]


def test_unknown_field_in_a_container(shared: Client) -> None:
    """All unknown fields are told, with their places."""
    body = changed(cron_job(), {f"{POD}.containers.0.foo": 1, "metadata.bar": 2})
    told = said(shared.create(body, fieldValidation="Strict"))
    assert f'unknown field "metadata.bar", unknown field "{POD}.containers[0].foo"' in told


APPLIED: list[tuple[dict[str, Any], str]] = [
    ({"spec.xyz": 1}, ".spec.xyz: field not declared in schema"),
    (
        {"spec.suspend": "no"},
        '.spec.suspend: expected boolean, got &value.valueUnstructured{Value:"no"}',
    ),
    (
        {f"{POD}.containers.0.foo": 1},
        f'.{POD}.containers[name="main"].foo: field not declared in schema',
    ),
    (
        {f"{POD}.containers.0.env": [{"name": "A"}, {"name": "A"}]},
        f'.{POD}.containers[name="main"].env: duplicate entries for key [name="A"]',
    ),
]


@pytest.mark.parametrize(("changes", "fault"), APPLIED)
def test_applied_against_the_schema(shared: Client, changes: dict[str, Any], fault: str) -> None:
    """What is applied and does not fit the schema is answered with 500."""
    refused = shared.apply(changed(cron_job(), changes))
    assert refused.status_code == 500
    where = "failed to create typed patch object (data/a-update; batch/v1, Kind=CronJob)"
    assert said(refused) == f"{where}: {fault}"


def test_wrong_type(shared: Client) -> None:
    """A value of another type cannot be read."""
    refused = shared.create(cron_job(spec__suspend="no"))
    assert refused.status_code == 400
    assert said(refused).endswith(
        "json: cannot unmarshal string into Go struct field CronJobSpec.spec.suspend of type bool"
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"completionMode": "Indexed"}, "completionMode"),
        ({"completions": 3}, "completions"),
        ({"template": {"metadata": {"annotations": {"a": "b"}}}}, "template"),
    ],
)
def test_job_is_immutable(change: dict[str, Any], field: str) -> None:
    """What a Job runs cannot be changed; how many at once can."""
    with FakeKubernetes() as server:
        server.create_plain("data", job())
        client = Client(server)
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"{JOBS}/once"
        more = client.http.patch(path, json={"spec": {"parallelism": 2}}, headers=headers)
        assert more.status_code == 200
        refused = client.http.patch(path, json={"spec": change}, headers=headers)
        assert refused.status_code == 422
        assert f"spec.{field}: Invalid value: " in said(refused)
        assert "field is immutable" in said(refused)


def test_long_name_may_be_updated() -> None:
    """The limit of 52 characters holds for new CronJobs only."""
    with FakeKubernetes() as server:
        server.create_plain("data", cron_job())
        held = server.store.objects.pop(("cronjobs", "data", "a-update"))
        held["metadata"]["name"] = "a" * 60
        server.store.objects["cronjobs", "data", "a" * 60] = held
        client = Client(server)
        assert client.merge("a" * 60, {"spec": {"suspend": True}}).status_code == 200
