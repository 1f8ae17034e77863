"""Tests of what a lading.toml may say."""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from lading.config.models import (
    BundleRule,
    Channel,
    CloudRun,
    Config,
    Destination,
    Layout,
    Prepare,
    Project,
    Source,
    SqliteRule,
    Zenodo,
)
from lading.config.values import (
    Branch,
    DestinationName,
    Folder,
    KeyTemplate,
    Pattern,
    Prefix,
    Regex,
    RelativePath,
    Slug,
    Url,
)

GOOD: list[tuple[Any, str]] = [
    (Slug, "iowa-energy"),
    (Slug, "2025_data"),
    (DestinationName, "gcs"),
    (DestinationName, "cloud_2"),
    (Prefix, "nightly"),
    (Prefix, "{tag}"),
    (Prefix, "data/{channel}/{tag}"),
    (Prefix, "v1.0+eel-hole_2"),
    (Prefix, "stagings"),
    (Prefix, "data/staging"),
    (Prefix, "..x"),
    (Regex, r"v\d+|w\d+"),
    (Regex, ""),
    (Pattern, "*.log"),
    (Pattern, "/parquet/*.parquet"),
    (KeyTemplate, "{name}"),
    (KeyTemplate, "tables/{folder}/{stem}.pq"),
    (KeyTemplate, "plain.json"),
    (Url, "build/gcs"),
    (Url, "/data/out"),
    (Url, "gs://bucket"),
    (Url, "s3://bucket/root/{tag}"),
    (Url, "builds/at@noon"),
]
BAD: list[tuple[Any, str]] = [
    (Slug, ""),
    (Slug, "-a"),
    (Slug, "Iowa"),
    (Slug, "a b"),
    (Slug, "a\n"),
    (Slug, "a/b"),
    (DestinationName, "gcs-east"),
    (DestinationName, "2gcs"),
    (DestinationName, "gcs\n"),
    (Prefix, ""),
    (Prefix, "/nightly"),
    (Prefix, "nightly/"),
    (Prefix, "a//b"),
    (Prefix, ".."),
    (Prefix, "a/../b"),
    (Prefix, "./a"),
    (Prefix, "a b"),
    (Prefix, "a\n"),
    (Prefix, "a\\b"),
    (Prefix, "{tga}"),
    (Prefix, "gs://bucket"),
    (Prefix, "staging"),
    (Prefix, "staging/nightly"),
    (Prefix, ".lading"),
    (Prefix, ".lading/objects"),
    (Regex, "("),
    (Regex, "[a"),
    (Pattern, ""),
    (Pattern, "  "),
    (Pattern, "a\nb"),
    (KeyTemplate, "/abs"),
    (KeyTemplate, "../{name}"),
    (KeyTemplate, "a/../{name}"),
    (KeyTemplate, "{nam}"),
    (KeyTemplate, "{name!r}"),
    (KeyTemplate, "{name.__class__}"),
    (KeyTemplate, "{{name}}"),
    (KeyTemplate, "{"),
    (Url, ""),
    (Url, "C:\\data"),
    (Url, "bucket:path"),
    (Url, "gs://bucket?versions"),
    (Url, "s3://key:secret@bucket"),
    (Url, "s3://key:secret@bucket/root"),
    (Url, "s3://key:sec/ret@bucket"),
    (Url, "gs://"),
    (Url, "builds/{tga}"),
    (Branch, "--force"),
    (Branch, "a..b"),
    (Branch, "a b"),
    (Folder, ""),
    (Folder, " "),
    (RelativePath, "../success"),
    (RelativePath, "/success"),
]
FROZEN: list[tuple[BaseModel, str, object]] = [
    (Project(name="a"), "name", "b"),
    (Source(url="a"), "url", "b"),
    (SqliteRule(), "level", "small"),
    (BundleRule(folder="a"), "folder", "b"),
    (Prepare(), "bundles", ()),
    (Layout(), "keys", {}),
    (Destination(url="a"), "url", "b"),
    (Zenodo(env="sandbox"), "env", "production"),
    (CloudRun(service="a", image="b", region="c"), "image", "d"),
    (Channel(tag="a", prefixes=("b",)), "tag", "c"),
]


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_accepted(kind: Any, value: str) -> None:
    """A good value is taken as it is written."""
    assert value == TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_refused(kind: Any, value: str) -> None:
    """A bad value is refused, and the reason says what is expected."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    (error,) = caught.value.errors()
    assert error["type"] == "expected"


@pytest.mark.parametrize(
    ("model", "field", "value"), FROZEN, ids=[type(each[0]).__name__ for each in FROZEN]
)
def test_frozen(model: BaseModel, field: str, value: object) -> None:
    """No field of a model can be set once it is made."""
    before = model.model_dump()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model, field, value)
    assert before == model.model_dump()


@pytest.mark.parametrize("model", [type(each[0]) for each in FROZEN] + [Config])
def test_each_field_is_described(model: type[BaseModel]) -> None:
    """Every field has the line that an editor shows."""
    undescribed = [name for name, each in model.model_fields.items() if not each.description]
    assert undescribed == []


def test_defaults() -> None:
    """What may be left out of a lading.toml has the value that the documentation names."""
    config = Config(
        project=Project(name="a"),
        source=Source(url="b"),
        destinations={"gcs": Destination(url="c")},
        channels={"nightly": Channel(tag="d", prefixes=("e",))},
    )
    assert (config.keep, config.work) == (2, "build")
    assert config.source.success_marker == "success"
    assert config.layout.leave_out == ("*.log",)
    assert config.prepare.sqlite.level == "balanced"
    assert config.prepare.sqlite.integrity == "quick_check"
    assert config.channels["nightly"].zenodo is None
    assert config.destinations["gcs"].depot is None
