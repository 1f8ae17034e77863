"""CronJobs out of files and callables, and everything that may be wrong with them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lading.errors import ClusterError, Interrupted
from lading.k8s.templates import Template, load_templates
from tests.unit.k8s.manifests import (
    COMMIT,
    DATASET,
    FILE,
    IMAGE,
    manifest,
    template,
    write_manifests,
)

POD = "spec__jobTemplate__spec__template"


def load(repository: Path, cronjobs: str = FILE, image: str = IMAGE) -> list[Template]:
    """Load templates of the dataset that all tests are about."""
    return load_templates(cronjobs, DATASET, "0.3.0", image, repository, "data")


def faults(repository: Path, cronjobs: str = FILE) -> list[str]:
    """Return the lines of the error."""
    with pytest.raises(ClusterError) as caught:
        load(repository, cronjobs)
    return str(caught.value).splitlines()


def faults_of(repository: Path, *bodies: Any) -> list[str]:
    """Return the lines of the error about some manifests."""
    write_manifests(repository, *bodies)
    return faults(repository)


def write(repository: Path, text: str | bytes, file: str = FILE) -> str:
    """Write a file of the repository as it is."""
    path = repository / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def module(repository: Path, code: str, file: str = "weather_jobs/cron.py") -> str:
    """Write a module of the repository, with ``manifest()`` at hand; return its callable."""
    path = repository / file
    path.parent.mkdir(parents=True, exist_ok=True)
    body = f"import json\ndef manifest():\n    return json.loads({json.dumps(manifest())!r})\n"
    path.write_text(body + code)
    return f"{file.removeprefix('src/').removesuffix('.py').replace('/', '.')}:cron_jobs"


# files


def test_documents_of_a_file(tmp_path: Path) -> None:
    """Each document is a template, with its role, its place, and what the schedule needs."""
    other = manifest(metadata__name="validate", spec__timeZone="Europe/Paris", spec__suspend=True)
    write_manifests(tmp_path, manifest(), None, other)
    update, validate = load(tmp_path)
    assert (update.role, update.place) == ("update", "k8s/gfs.yaml[0]")
    assert (update.schedule, update.time_zone, update.suspended) == ("30 5 * * *", "Etc/UTC", None)
    assert (validate.role, validate.place) == ("validate", "k8s/gfs.yaml[2]")
    assert (validate.time_zone, validate.suspended) == ("Europe/Paris", True)
    assert update.body == manifest()


@pytest.mark.parametrize(
    ("mode", "completions", "expected"),
    [("Indexed", 12, 12), ("NonIndexed", 12, 1), (..., 12, 1), ("Indexed", ..., 1)],
)
def test_completions(mode: Any, completions: Any, expected: int) -> None:
    """Only the indexes of an Indexed Job are counted, for only they lengthen names."""
    job = {"spec__jobTemplate__spec__completionMode": mode}
    job["spec__jobTemplate__spec__completions"] = completions
    given = {key: value for key, value in job.items() if value is not ...}
    assert template(**given).completions == expected


@pytest.mark.parametrize(
    ("name", "dataset", "role"),
    [
        ("noaa-gfs-analysis-update", DATASET, "update"),
        ("update", DATASET, "update"),
        ("{dataset}-archive-grib-files", DATASET, "archive-grib-files"),
        ("my-data.v2-check", "my-data.v2", "check"),
        ("my-data-v2-check", "My_Data.V2", "check"),
        ("{dataset}-check", "My_Data.V2", "check"),
        ("a2", "a", "a2"),
    ],
)
def test_roles(tmp_path: Path, name: str, dataset: str, role: str) -> None:
    """The role is what follows the dataset in the name, or the whole name."""
    write_manifests(tmp_path, manifest(metadata__name=name))
    found = load_templates(FILE, dataset, "0.3.0", IMAGE, tmp_path, "data")
    assert [each.role for each in found] == [role]


def test_list_is_unfolded(tmp_path: Path) -> None:
    """The items of a ``v1 List`` are templates, each with its own place."""
    items = [manifest(), manifest(metadata__name="validate")]
    file = write(
        tmp_path,
        json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent="\t"),
        "k8s/gfs.json",
    )
    found = load(tmp_path, file)
    assert [each.place for each in found] == [
        "k8s/gfs.json[0].items[0]",
        "k8s/gfs.json[0].items[1]",
    ]
    assert [each.role for each in found] == ["update", "validate"]


def test_list_without_items(tmp_path: Path) -> None:
    """A List without a list, and an empty one, say so."""
    empty = {"apiVersion": "v1", "kind": "List"}
    assert faults_of(tmp_path, empty) == [
        "k8s/gfs.yaml[0]: items: expected the CronJobs of the List, got nothing"
    ]
    assert faults_of(tmp_path, {**empty, "items": []}) == [
        "k8s/gfs.yaml: expected at least one CronJob of noaa-gfs-analysis, got none"
    ]


def test_anchors_are_copied(tmp_path: Path) -> None:
    """Anchors and merges are fine; what a mapping overrides is no double, and nothing is shared."""
    text = yaml.safe_dump(manifest()) + (
        "x-base: &base {a: 1, deep: [1]}\nx-one: *base\nx-two: {<<: *base, a: 2}\n"
    )
    write(tmp_path, text)
    body = load(tmp_path)[0].body
    assert body["x-two"] == {"a": 2, "deep": [1]}
    assert body["x-one"]["deep"] is not body["x-base"]["deep"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "k8s/gfs.yaml: expected CronJobs, got an empty file"),
        ("# only a word\n---\n---\n", "k8s/gfs.yaml: expected CronJobs, got an empty file"),
        (
            "a: 1\nb: [1}\nc: 2\n",
            "k8s/gfs.yaml: line 2: expected YAML, got \"expected ',' or ']', but",
        ),
        ("a: !python/object:os.system x\n", 'k8s/gfs.yaml: line 1: expected YAML, got "could not'),
        ("a: !!python/tuple [1]\n", 'k8s/gfs.yaml: line 1: expected YAML, got "could not'),
        ("a: 1\nb: \x07\n", "k8s/gfs.yaml: line 2: expected YAML, got 'special characters are not"),
        (b"a: 1\nb: \xff\n", "k8s/gfs.yaml: line 2: expected UTF-8, got other bytes"),
        ("a: !!int x\n", "k8s/gfs.yaml: expected YAML, got invalid literal for int()"),
        ("a: !!bool x\n", "k8s/gfs.yaml: expected YAML, got 'x'"),
        ("[" * 1200, "k8s/gfs.yaml: expected YAML, got maximum recursion depth exceeded"),
        ("&a [*a]\n", "k8s/gfs.yaml[0]: expected at most 100000 values and 60 levels, got more"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{one}: &{one} [{','.join([f'*{before}'] * 10)}]\n"
                for before, one in zip("abcdef", "bcdefg", strict=True)
            ),
            "k8s/gfs.yaml[0]: expected at most 100000 values and 60 levels, got more",
        ),
    ],
)
def test_unreadable_files(tmp_path: Path, text: str | bytes, expected: str) -> None:
    """What is no YAML, or never ends, is one line that says where."""
    write(tmp_path, text)
    found = faults(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" ", "k8s/gfs.json: expected CronJobs, got an empty file"),
        ("null", "k8s/gfs.json: expected CronJobs, got an empty file"),
        ('{"a":\n 1 2}', "k8s/gfs.json: line 2: expected JSON, got \"Expecting ',' delimiter"),
        ('{"a": NaN}', "k8s/gfs.json[0]: a: expected plain JSON data, got NaN; put quotes"),
        ('{"a": 1, "a": 2}', "k8s/gfs.json: expected each key once in a mapping, got 'a' twice"),
        ('{"a": "\\ud800"}', "k8s/gfs.json[0]: a: expected plain JSON data, got '\\ud800'"),
        ("[" * 100_000, "k8s/gfs.json: expected JSON, got maximum recursion depth exceeded"),
    ],
)
def test_unreadable_json(tmp_path: Path, text: str, expected: str) -> None:
    """JSON is held to the same, in JSON's words."""
    file = write(tmp_path, text, "k8s/gfs.json")
    assert faults(tmp_path, file)[0].startswith(expected)


def test_odd_scalars_are_told_at_once(tmp_path: Path) -> None:
    """Dates, base 60, bytes, infinities, odd keys and doubled keys: a line each, with the place."""
    write(
        tmp_path,
        "a: 2025-02-05\nb: [12:30, .inf, !!binary aGk=, =]\nc: {1: x, no: y}\nd: !!set {x}\n"
        "e: {f: 1, f: 2}\ne: 3\n",
    )
    assert faults(tmp_path) == [
        "k8s/gfs.yaml: line 5: expected each key once in a mapping, got 'f' twice",
        "k8s/gfs.yaml: line 6: expected each key once in a mapping, got 'e' twice",
        (
            "k8s/gfs.yaml[0]: a: expected plain JSON data, got the date or time '2025-02-05'"
            " without quotes; put quotes round it"
        ),
        (
            "k8s/gfs.yaml[0]: b[0]: expected plain JSON data, got the number to base 60 '12:30'"
            " without quotes; put quotes round it"
        ),
        "k8s/gfs.yaml[0]: b[1]: expected plain JSON data, got inf",
        (
            "k8s/gfs.yaml[0]: b[2]: expected plain JSON data, got the binary value 'aGk=' without"
            " quotes; put quotes round it"
        ),
        (
            "k8s/gfs.yaml[0]: b[3]: expected plain JSON data, got the value '=' without quotes; put"
            " quotes round it"
        ),
        "k8s/gfs.yaml[0]: c: expected strings as keys, got 1; put quotes round it",
        "k8s/gfs.yaml[0]: c: expected strings as keys, got false; put quotes round it",
        "k8s/gfs.yaml[0]: d: expected plain JSON data, got an object of type set",
    ]


def test_missing_file(tmp_path: Path) -> None:
    """No file, a folder, and a link out of the repository: one line each, no machine's path."""
    (tmp_path / "repository/k8s/folder.yaml").mkdir(parents=True)
    outside = tmp_path / "outside.yaml"
    outside.write_text(yaml.safe_dump(manifest()))
    (tmp_path / "repository/k8s/link.yaml").symlink_to(outside)
    repository = tmp_path / "repository"
    assert faults(repository) == ["k8s/gfs.yaml: expected a file of the repository, got none"]
    assert faults(repository, "k8s/folder.yaml") == [
        "k8s/folder.yaml: expected a file of the repository, got 'Is a directory'"
    ]
    assert faults(repository, "k8s/link.yaml") == [
        "k8s/link.yaml: expected a file of the repository, got one outside of it"
    ]


# rules

_CONTAINERS = f"{POD}__spec__containers"
_NO_IMAGE = (
    "spec.jobTemplate.spec.template.spec.containers: expected a container with image '{image}', got"
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"apiVersion": "v1", "kind": "ConfigMap"},
            "expected batch/v1 CronJob, got v1 ConfigMap: a manifest that is no CronJob",
        ),
        (
            {"apiVersion": "batch/v1beta1"},
            "expected batch/v1 CronJob, got batch/v1beta1 CronJob: a manifest that is no CronJob",
        ),
        (
            {"kind": ...},
            "expected batch/v1 CronJob, got batch/v1 no kind: a manifest that is no CronJob",
        ),
        (
            {"metadata__name": ...},
            "metadata.name: expected 'noaa-gfs-analysis-ROLE' or 'ROLE', got nothing",
        ),
        (
            {"metadata__name": 7},
            "metadata.name: expected 'noaa-gfs-analysis-ROLE' or 'ROLE', got 7",
        ),
        (
            {"metadata__name": f"{DATASET}-2x"},
            (
                "metadata.name: expected 'noaa-gfs-analysis-ROLE' or 'ROLE', with a role of small"
                " letters, digits and '-' that begins with a letter, got 'noaa-gfs-analysis-2x',"
                " whose role is '2x'"
            ),
        ),
        (
            {"metadata__generateName": "x-"},
            "metadata.generateName: expected none, since it cannot be applied, got one",
        ),
        (
            {"metadata__namespace": "prod"},
            "metadata.namespace: expected none or 'data', got 'prod'",
        ),
        (
            {"metadata__labels": {"lading/role": "x"}},
            "metadata.labels: expected none of lading's own, got 'lading/role'; take it out",
        ),
        (
            {"spec__jobTemplate__metadata__annotations": {"lading/commit": "x"}},
            (
                "spec.jobTemplate.metadata.annotations: expected none of lading's own, got"
                " 'lading/commit'; take it out"
            ),
        ),
        (
            {f"{POD}__metadata__labels": {"app.kubernetes.io/managed-by": "Helm"}},
            (
                "spec.jobTemplate.spec.template.metadata.labels: app.kubernetes.io/managed-by:"
                " expected none or 'lading', got 'Helm'"
            ),
        ),
        (
            {"metadata__labels": {"tier": 1}},
            "metadata.labels: tier: expected a string, got 1",
        ),
        ({"metadata__labels": ["a"]}, "metadata.labels: expected a mapping, got a list of 1"),
        (
            {"spec__schedule": ...},
            "spec.schedule: expected a schedule such as '0 6 * * *', got nothing",
        ),
        (
            {"spec__schedule": " "},
            "spec.schedule: expected a schedule such as '0 6 * * *', got ' '",
        ),
        ({"spec__timeZone": 1}, "spec.timeZone: expected a zone such as 'Etc/UTC', got 1"),
        ({"spec__suspend": "no"}, "spec.suspend: expected true or false, got 'no'"),
        (
            {"spec__jobTemplate__spec__completions": "3"},
            "spec.jobTemplate.spec.completions: expected a whole number, got '3'",
        ),
        ({"status": {}}, "status: expected none, since the server keeps it, got one; take it out"),
        (
            {"metadata__uid": "x"},
            "metadata.uid: expected none, since the server keeps it, got one; take it out",
        ),
        (
            {"metadata__managedFields": []},
            (
                "metadata.managedFields: expected none, since the server keeps it, got one; take it"
                " out"
            ),
        ),
        (
            {"metadata__resourceVersion": "1"},
            (
                "metadata.resourceVersion: expected none, since the server keeps it, got one; take"
                " it out"
            ),
        ),
        ({f"{_CONTAINERS}__0__image": "x:1"}, f"{_NO_IMAGE} 'x:1'"),
        ({f"{_CONTAINERS}__0__image": "${image}"}, f"{_NO_IMAGE} '${{image}}'"),
        ({_CONTAINERS: []}, f"{_NO_IMAGE} none"),
        ({_CONTAINERS: ["x"]}, f"{_NO_IMAGE} none"),
    ],
)
def test_rules(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    """Each broken rule is one line with its place, and nothing but that line."""
    assert faults_of(
        tmp_path,
        manifest(),
        manifest(metadata__name="two"),
        manifest(**{"metadata__name": "three", **changes}),
    ) == [f"k8s/gfs.yaml[2]: {expected}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata__namespace": "data"},
        {"metadata__labels": None, "metadata__creationTimestamp": None},
        {"metadata__labels": {"app.kubernetes.io/managed-by": "lading", "team": "weather"}},
        {f"{_CONTAINERS}__0__image": IMAGE},
        {
            f"{_CONTAINERS}__0__image": "busybox:1",
            f"{POD}__spec__initContainers": [{"name": "x", "image": "{image}"}],
        },
    ],
)
def test_what_is_allowed(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Metadata of the user's own, our namespace, and the image itself are fine."""
    write_manifests(tmp_path, manifest(**changes))
    assert [each.role for each in load(tmp_path)] == ["update"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"metadata": "x"}, "metadata: expected a mapping, got 'x'"),
        ({"spec": None}, "spec: expected a mapping, got nothing"),
        ({"spec": {"jobTemplate": []}}, "spec.jobTemplate: expected a mapping, got a list of 0"),
    ],
)
def test_broken_structure(tmp_path: Path, body: dict[str, Any], expected: str) -> None:
    """What is no mapping where one must be is told, and nothing falls over it."""
    assert f"k8s/gfs.yaml[0]: {expected}" in faults_of(tmp_path, manifest() | body)


def test_all_faults_of_all_manifests(tmp_path: Path) -> None:
    """One error tells everything: of several manifests, several rules, and doubled roles."""
    found = faults_of(
        tmp_path,
        manifest(spec__schedule=..., status={}),
        "text",
        manifest(metadata__name="update"),
    )
    assert [each.split(": ")[:2] for each in found] == [
        ["k8s/gfs.yaml[0]", "status"],
        ["k8s/gfs.yaml[0]", "spec.schedule"],
        ["k8s/gfs.yaml[1]", "expected a mapping, got 'text'"],
        ["k8s/gfs.yaml[2]", "metadata.name"],
    ]
    assert found[-1].endswith("expected each role once, got 'update', which k8s/gfs.yaml[0] has")


def test_no_namespace_configured(tmp_path: Path) -> None:
    """Where no namespace is said, a manifest may name none."""
    write_manifests(tmp_path, manifest(metadata__namespace="data"))
    with pytest.raises(ClusterError, match="namespace: expected none, got 'data'"):
        load_templates(FILE, DATASET, "0.3.0", IMAGE, tmp_path)


# callables


@pytest.mark.parametrize("file", ["weather_jobs/cron.py", "src/weather_jobs/cron.py", "cron_x.py"])
def test_callable(tmp_path: Path, file: str) -> None:
    """A callable of the repository, or of its src, gives manifests; the process stays as it was."""
    name = module(tmp_path, "def cron_jobs(dataset, image):\n    yield manifest()\n", file)
    path, modules = list(sys.path), set(sys.modules)
    (found,) = load(tmp_path, name)
    assert (found.role, found.place) == ("update", f"{name}[0]")
    assert sys.path == path
    assert set(sys.modules) == modules
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("dataset, image", "{'dataset', 'image'}"),
        ("*, image", "{'image'}"),
        ("version, other=1", "{'version'}"),
        ("**kwargs", "{'dataset', 'image', 'version'}"),
        ("", "set()"),
    ],
)
def test_parameters(tmp_path: Path, signature: str, said: str) -> None:
    """A callable is given what it asks for by name, and all where it takes anything."""
    values = f"('{DATASET}', '{IMAGE}', '0.3.0')"
    name = module(
        tmp_path,
        f"def cron_jobs({signature}):\n"
        "    given = {**locals(), **locals().get('kwargs', {})}\n"
        "    known = dict(zip(('dataset', 'image', 'version'), " + values + "))\n"
        "    same = {key for key in known if given.get(key) == known[key]}\n"
        f"    assert same == {said}, same\n"
        "    return [manifest()]\n",
    )
    assert len(load(tmp_path, name)) == 1


def test_callable_puts_the_image_in(tmp_path: Path) -> None:
    """A callable may put in the image that it is given, or leave the placeholder."""
    code = (
        "def cron_jobs(image):\n    body = manifest()\n"
        "    pod = body['spec']['jobTemplate']['spec']['template']['spec']\n"
        "    pod['containers'][0]['image'] = image\n    return body\n"
    )
    name = module(tmp_path, code)
    found = load(tmp_path, name)[0].body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert found["containers"][0]["image"] == IMAGE


def test_callable_returns_python_data(tmp_path: Path) -> None:
    """Tuples and enums become plain JSON data."""
    code = (
        "import enum\nclass Kind(enum.StrEnum):\n    CRON = 'CronJob'\n"
        "def cron_jobs():\n    return ({**manifest(), 'kind': Kind.CRON, 'x': (1, 2)},)\n"
    )
    body = load(tmp_path, module(tmp_path, code))[0].body
    assert type(body["kind"]) is str
    assert body["x"] == [1, 2]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "def other(): pass\ndef cron_job(): pass\n",
            (
                ": expected a callable 'cron_jobs' in weather_jobs.cron, got none (did you mean"
                " 'cron_job'?)"
            ),
        ),
        ("cron_jobs = 3\n", ": expected a callable, got 3"),
        (
            "def cron_jobs(dataset, cluster): pass\n",
            (
                ": expected parameters by name among dataset, image, version, got one that also"
                " needs cluster"
            ),
        ),
        (
            "def cron_jobs(dataset, /): pass\n",
            (
                ": expected parameters by name among dataset, image, version, got one that also"
                " needs dataset"
            ),
        ),
        ("def cron_jobs(): pass\n", ": expected mappings in a list, got nothing"),
        ("def cron_jobs(): return 'abc'\n", ": expected mappings in a list, got 'abc'"),
        (
            "def cron_jobs(): return []\n",
            ": expected at least one CronJob of noaa-gfs-analysis, got none",
        ),
        (
            "def cron_jobs(): return [object()]\n",
            "[0]: expected plain JSON data, got an object of type object",
        ),
        (
            "def cron_jobs(): return [{'a': {1, 2}, 'b': float('nan')}]\n",
            "[0]: a: expected plain JSON data, got an object of type set",
        ),
        (
            "def cron_jobs():\n    raise NotImplementedError('soon')\n",
            (
                ": expected the CronJobs of noaa-gfs-analysis, got NotImplementedError (soon): it"
                " is in development and has none yet"
            ),
        ),
        (
            (
                "def deep():\n    raise ValueError('first\\nlast')\n"
                "def cron_jobs():\n    yield manifest()\n    deep()\n"
            ),
            ": expected CronJobs, got ValueError: first last (weather_jobs/cron.py:5)",
        ),
        (
            "raise SystemExit(1)\n",
            ": expected CronJobs, got SystemExit: 1 (weather_jobs/cron.py:4)",
        ),
        (
            "import no_such_thing\n",
            (
                ": expected CronJobs, got ModuleNotFoundError: No module named 'no_such_thing'"
                " (weather_jobs/cron.py:4); install what it needs beside lading"
            ),
        ),
        (
            "def cron_jobs(:\n",
            ": expected CronJobs, got SyntaxError: ",
        ),
        (
            "def cron_jobs(): assert False\n",
            ": expected CronJobs, got AssertionError (weather_jobs/",
        ),
    ],
)
def test_callable_faults(tmp_path: Path, code: str, expected: str) -> None:
    """Whatever a callable does wrong is one line that says what and where."""
    name = module(tmp_path, code)
    assert faults(tmp_path, name)[0].startswith(name + expected)


def test_long_exceptions(tmp_path: Path) -> None:
    """Of a long message the beginning and the end are kept."""
    code = "def cron_jobs():\n    raise ValueError('begin' + 'x' * 9999 + 'end')\n"
    (found,) = faults(tmp_path, module(tmp_path, code))
    assert len(found) < 450
    assert "begin" in found
    assert "end (weather_jobs/cron.py:5)" in found


def test_missing_module(tmp_path: Path) -> None:
    """A package that is not there is named."""
    assert faults(tmp_path, "no_such_package.cron:cron_jobs") == [
        (
            "no_such_package.cron:cron_jobs: expected CronJobs, got ModuleNotFoundError: No module"
            " named 'no_such_package'; install what it needs beside lading"
        )
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "body['metadata']['name'] = f'a{next(count)}'",
            "[0]: metadata.name: expected the same at every call, got 'a0' and then 'a1'",
        ),
        (
            "body['spec']['suspend'] = [True, 1][next(count)]",
            "[0]: spec.suspend: expected the same at every call, got true and then 1",
        ),
        (
            "body.update({'x': 1} if next(count) else {})",
            "[0]: x: expected the same at every call, got nothing and then 1",
        ),
        (
            "body = [body] * (1 + next(count))",
            ": expected the same at every call, got a list of 1 and then a list of 2",
        ),
    ],
)
def test_unstable_callable(tmp_path: Path, change: str, expected: str) -> None:
    """A callable whose second answer differs is refused: what is checked must be applied."""
    code = (
        "import itertools\ncount = itertools.count()\n"
        f"def cron_jobs():\n    body = manifest()\n    {change}\n    return body\n"
    )
    name = module(tmp_path, code)
    assert faults(tmp_path, name) == [name + expected]


def test_modules_are_kept_until_they_change(tmp_path: Path) -> None:
    """A package is run once for all datasets, anew once a file of it changes, and never shared."""
    code = "print('ran', file=open(__file__ + '.log', 'a'))\ndef cron_jobs(): return manifest()\n"
    name = module(tmp_path / "one", code)
    log = tmp_path / "one/weather_jobs/cron.py.log"
    for _ in range(3):
        load(tmp_path / "one", name)
    assert log.read_text().count("ran") == 1
    module(tmp_path / "one", code.replace("manifest()", "{}"))
    assert "got no apiVersion no kind" in faults(tmp_path / "one", name)[0]
    assert log.read_text().count("ran") == 2
    module(tmp_path / "two", "def cron_jobs(): return {**manifest(), 'x': 2}\n")
    assert load(tmp_path / "two", name)[0].body["x"] == 2


def test_module_of_the_same_name_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of another place that bears the package's name is set aside, and brought back."""
    stranger = type(sys)("weather_jobs")
    monkeypatch.setitem(sys.modules, "weather_jobs", stranger)
    name = module(tmp_path, "def cron_jobs(): return manifest()\n")
    assert len(load(tmp_path, name)) == 1
    assert sys.modules["weather_jobs"] is stranger
    assert "weather_jobs.cron" not in sys.modules


def test_signals_pass_through(tmp_path: Path) -> None:
    """A signal that ends the run while a callable works is not the callable's fault."""
    code = "from lading.errors import Interrupted\ndef cron_jobs():\n    raise Interrupted(15)\n"
    path = list(sys.path)
    with pytest.raises(Interrupted):
        load(tmp_path, module(tmp_path, code))
    assert sys.path == path


def test_open_image(tmp_path: Path) -> None:
    """Manifests can be loaded before there is an image."""
    write_manifests(tmp_path, manifest())
    assert load(tmp_path, image="")[0].role == "update"
    assert COMMIT in IMAGE
