"""CronJobs made of templates."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import ClusterError
from lading.k8s.identity import identity_of
from lading.k8s.json_data import canonical_json, first_difference, sort_keys, value_at
from lading.k8s.objects import build_cron_job, digest_spec, strip_suspend
from lading.k8s.rollout import CronJob
from lading.k8s.templates import Template
from tests.unit.k8s.manifests import COMMIT, DATASET, IMAGE, identity, manifest, template

NAME = "staging-noaa-gfs-analysis-v0-3-0-update"
POD = "spec__jobTemplate__spec__template"
ARGS = f"{POD}__spec__containers__0__args"


def build(given_template: Template | None = None, **changes: Any) -> CronJob:
    """Build a staged CronJob; ``changes`` go to the identity."""
    return build_cron_job(
        given_template or template(),
        name=NAME,
        schedule="37 5 * * *",
        identity=identity(**changes),
        monitor=NAME,
        namespace="data",
    )


def args_of(cron_job: CronJob) -> Any:
    """Return the arguments of the first container."""
    pod = cron_job.body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod["containers"][0]["args"]


def metadata_of(body: Any) -> list[Any]:
    """Return the metadata of a CronJob, its job template and its pod template."""
    job = body["spec"]["jobTemplate"]
    return [body["metadata"], job["metadata"], job["spec"]["template"]["metadata"]]


def test_what_is_set() -> None:
    """Name, namespace, schedule, zone and image stand in the object, and beside it."""
    found = build()
    assert (found.name, found.role, found.monitor) == (NAME, "update", NAME)
    assert (found.schedule, found.time_zone) == ("37 5 * * *", "Etc/UTC")
    assert found.body["metadata"]["name"] == NAME
    assert found.body["metadata"]["namespace"] == "data"
    assert found.body["spec"]["schedule"] == "37 5 * * *"
    assert found.body["spec"]["timeZone"] == "Etc/UTC"
    assert "suspend" not in found.body["spec"]
    assert args_of(found) == ["update", DATASET, f"--store=s3://weather/{DATASET}/v0.3.0.zarr"]
    pod = found.body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == IMAGE


def test_manifest_keeps_its_zone_and_suspension() -> None:
    """A zone that the manifest names counts, and so does what it says of ``suspend``."""
    found = build(template(spec__timeZone="Europe/Paris", spec__suspend=False))
    assert found.time_zone == found.body["spec"]["timeZone"] == "Europe/Paris"
    assert found.body["spec"]["suspend"] is False


def test_template_stays_as_it_is() -> None:
    """Nothing of the template is changed or shared."""
    given_template = template()
    before = copy.deepcopy(given_template.body)
    found = build(given_template)
    found.body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"].clear()
    assert given_template.body == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{name} {role} {schedule}", f"{NAME} update 37 5 * * *"),
        ("{dataset}@{version} of {commit}", f"{DATASET}@0.3.0 of {COMMIT}"),
        ("{environment} {time_zone} {image}", f"staging Etc/UTC {IMAGE}"),
        ("${image} $${image} x${image}y", "${image} $${image} x${image}y"),
        ("$(name) {unknown} { name } {} {name", "$(name) {unknown} { name } {} {name"),
        ("{{name}} {{ name }} ${{name}}", "{{name}} {{ name }} ${{name}}"),
        ('{"name": "{name}"}', f'{{"name": "{NAME}"}}'),
        ("{name}{name}", NAME + NAME),
        ("a\n{role}\n", "a\nupdate\n"),
    ],
)
def test_placeholders(text: str, expected: str) -> None:
    """Known words in braces are filled; a shell's, another template's and unknown ones stay."""
    assert args_of(build(template(**{ARGS: [text]}))) == [expected]


def test_keys_are_not_filled() -> None:
    """Placeholders count in values, at any depth, and not in keys; other types stay."""
    labels = {"metadata__labels": {"{role}": "{role}"}, "spec__successfulJobsHistoryLimit": 3}
    body = build(template(**labels)).body
    assert body["metadata"]["labels"]["{role}"] == "update"
    assert body["spec"]["successfulJobsHistoryLimit"] == 3


def test_what_is_filled_in_is_not_filled_again() -> None:
    """A store whose URL holds braces stays what it is."""
    found = build(template(**{ARGS: ["{store}"]}), stores=("s3://b/{commit}",))
    assert args_of(found) == ["s3://b/{commit}"]


def test_words_without_a_value() -> None:
    """A word that nothing is known for is a fault where it is used, all of them at once."""
    with pytest.raises(ClusterError) as caught:
        build(template(**{ARGS: ["{store}", "{commit}"]}), stores=(), commit="")
    place = "k8s/gfs.yaml[0]: spec.jobTemplate.spec.template.spec.containers[0].args"
    assert str(caught.value).splitlines() == [
        f"{place}[0]: expected a value for {{store}}, got none",
        f"{place}[1]: expected a value for {{commit}}, got none",
    ]
    assert args_of(build(template(**{ARGS: ["${store}"]}), stores=())) == ["${store}"]


def test_open_image_stays_open() -> None:
    """Where manifests are only rendered, image and commit may stand for themselves."""
    found = build(template(**{ARGS: ["{commit}"]}), image="{image}", commit="{commit}")
    assert args_of(found) == ["{commit}"]


def test_identity_in_three_places() -> None:
    """Labels and annotations stand on all three, beside the user's own; it can be read back."""
    user = {
        "metadata__labels": {"team": "weather"},
        "spec__jobTemplate__metadata": {"labels": None, "annotations": {"a": "b"}},
        f"{POD}__metadata": {"labels": {"app": "x"}, "name": "kept"},
    }
    found = build(template(**user))
    cron, job, pod = metadata_of(found.body)
    ours = identity()
    for each in (cron, job, pod):
        assert ours.labels("update").items() <= each["labels"].items()
        notes = ours.annotations("update", found.spec_sha256, NAME)
        assert notes.items() <= each["annotations"].items()
    assert cron["labels"]["team"] == "weather"
    assert job["annotations"]["a"] == "b"
    assert (pod["labels"]["app"], pod["name"]) == ("x", "kept")
    assert identity_of(found.body) == ours


def test_digest_is_of_the_spec_alone() -> None:
    """The digest can be had from the finished object, and suspension does not count."""
    found = build()
    assert digest_spec(found.body["spec"]) == found.spec_sha256
    assert build(template(spec__suspend=True)).spec_sha256 == found.spec_sha256
    assert build(branch="other", project="other").spec_sha256 == found.spec_sha256
    marked = {f"{POD}__metadata__labels": {"app.kubernetes.io/managed-by": "lading"}}
    assert build(template(**marked)).spec_sha256 == found.spec_sha256


@pytest.mark.parametrize(
    ("changes", "of_identity"),
    [
        ({}, {"image": "registry.example/updates@sha256:" + "0" * 64}),
        ({}, {"stores": ("s3://other",)}),
        ({"spec__timeZone": "Europe/Paris"}, {}),
        ({"spec__concurrencyPolicy": "Forbid"}, {}),
        ({f"{POD}__metadata__labels": {"app": "x"}}, {}),
        ({"spec__jobTemplate__metadata__annotations": {"app": "x"}}, {}),
        ({ARGS: ["{commit}"]}, {}),
    ],
)
def test_digest_counts_what_is_deployed(
    changes: dict[str, Any], of_identity: dict[str, Any]
) -> None:
    """Image, arguments, zone, and the user's own labels make another spec."""
    assert build(template(**changes), **of_identity).spec_sha256 != build().spec_sha256


def test_digest_knows_the_schedule() -> None:
    """A schedule that was moved is another spec, and the commit counts where it is used."""
    one = build_cron_job(template(), NAME, "0 6 * * *", identity(), "", "data")
    assert one.spec_sha256 != build().spec_sha256
    said = template(**{ARGS: ["{commit}"]})
    assert build(said, commit="f" * 40).spec_sha256 != build(said).spec_sha256


def test_equal_inputs_give_equal_bytes() -> None:
    """The order of a manifest's keys does not reach the object."""
    body = manifest()
    turned = json.loads(json.dumps(body), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    place = template().place
    one, other = (build(Template(role="update", body=each, place=place)) for each in (body, turned))
    assert json.dumps(one.body) == json.dumps(other.body) == json.dumps(sort_keys(one.body))
    assert one == other


def test_golden_digest() -> None:
    """The digest of a known CronJob stays what it is: a new one would redeploy everything."""
    assert build().spec_sha256 == "dbda1082be1c037a79ea30fae1b4a27a5a3741e5913295f14edc490dcff5b2c5"


def test_suspension() -> None:
    """Suspension is taken out of a copy."""
    body = build(template(spec__suspend=True)).body
    bare = strip_suspend(body)
    assert "suspend" not in bare["spec"]
    assert body["spec"]["suspend"] is True
    assert strip_suspend(bare) == bare


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, JSON)
def test_differences(one: Any, other: Any) -> None:
    """No difference is found exactly where the canonical bytes agree, and it leads to one."""
    path = first_difference(one, other)
    if path is None:
        assert canonical_json(one) == canonical_json(other)
    else:
        assert canonical_json(one) != canonical_json(other)
        left, right = value_at(one, path), value_at(other, path)
        assert path == () or left is None or right is None or first_difference(left, right) == ()


@given(JSON)
def test_sorting_changes_nothing_else(data: Any) -> None:
    """Sorted data are equal to what they were, and sorted already when sorted again."""
    found = sort_keys(data)
    assert found == data
    assert json.dumps(sort_keys(found)) == json.dumps(found)
