"""Tests of the rules that hold between the parts of a configuration."""

from typing import Any

import pytest

from lading.config.models import Config, Source
from lading.config.publish import Publish
from lading.config.rules import find_conflicts


def make_config(destinations: dict[str, Any] | None = None, **channels: Any) -> Config:
    """Make a configuration whose parts are each sound."""
    return Config.model_validate(
        {
            "project": {"name": "sample"},
            "source": {"url": "input"},
            "destinations": destinations or {"gcs": {"url": "gcs"}, "s3": {"url": "s3"}},
            "channels": {name: {"tag": ".*", **each} for name, each in channels.items()},
        }
    )


def test_sound() -> None:
    """Two channels in the manner of the example break no rule."""
    config = make_config(
        nightly={"prefixes": ["nightly", "eel-hole"], "destinations": ["s3"]},
        stable={"prefixes": ["{tag}", "stable"], "immutable": ["{tag}"], "hold": ["{tag}"]},
    )
    assert find_conflicts(config) == []


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (
            {"prefixes": ["a", "b"], "immutable": ["{tag}"]},
            "channels.c.immutable[0]: expected one of the channel's prefixes (a, b), got '{tag}'",
        ),
        (
            {"prefixes": ["stable"], "hold": ["stabel"]},
            (
                "channels.c.hold[0]: expected one of the channel's prefixes (stable), got 'stabel'"
                " (did you mean 'stable'?)"
            ),
        ),
        (
            {"prefixes": ["{tag}", "stable"], "immutable": ["{tag}", "stable"]},
            (
                "channels.c.immutable[1]: expected a prefix with {tag}, since a second release"
                " could never use another, got 'stable'"
            ),
        ),
        (
            {"prefixes": ["{tag}", "stable"], "hold": ["{tag}", "stable"]},
            (
                "channels.c.hold[1]: expected a prefix with {tag}, since a second release"
                " could never use another, got 'stable'"
            ),
        ),
        (
            {"prefixes": ["a"], "destinations": ["gcs", "gsc"]},
            "channels.c.destinations[1]: expected one of gcs, s3, got 'gsc' (did you mean 'gcs'?)",
        ),
        (
            {"prefixes": ["a", "a"]},
            (
                "channels.c.prefixes[1]: expected prefixes of which none holds another, got 'a'"
                " beside 'a'"
            ),
        ),
        (
            {"prefixes": ["a", "a/b"]},
            (
                "channels.c.prefixes[1]: expected prefixes of which none holds another, got 'a/b'"
                " beside 'a'"
            ),
        ),
        (
            {"prefixes": ["{tag}/b", "{tag}"]},
            (
                "channels.c.prefixes[1]: expected prefixes of which none holds another, got '{tag}'"
                " beside '{tag}/b'"
            ),
        ),
    ],
)
def test_conflict(channel: dict[str, Any], expected: str) -> None:
    """A broken rule is one line with its place, what is expected and what was got."""
    assert [expected] == find_conflicts(make_config(c=channel))


def test_names_that_begin_alike() -> None:
    """Prefixes of which one merely begins like another are no conflict."""
    assert find_conflicts(make_config(c={"prefixes": ["data", "data2", "data-old/x"]})) == []


def test_all_at_once() -> None:
    """Every broken rule of every channel is shown, in the order of the channels."""
    config = make_config(
        one={"prefixes": ["a", "a"], "hold": ["x"], "destinations": ["y"]},
        two={"prefixes": ["b"], "immutable": ["b"]},
    )
    expected = [
        "channels.one.prefixes[1]",
        "channels.one.hold[0]",
        "channels.one.destinations[0]",
        "channels.two.immutable[0]",
    ]
    assert expected == [problem.split(": ")[0] for problem in find_conflicts(config)]


@pytest.mark.parametrize("inner", ["data/stable", "data/{tag}"])
def test_prefix_inside_a_prefix_of_another_channel(inner: str) -> None:
    """A prefix inside another channel's is refused: its objects would be deleted as foreign."""
    config = make_config(outer={"prefixes": ["data"]}, inner={"prefixes": [inner]})
    assert len(find_conflicts(config)) == 1


@pytest.mark.parametrize("url", ["gs://bucket", "gs://bucket/"])
def test_destinations_of_one_place(url: str) -> None:
    """Two destinations may not be the same place."""
    config = make_config(
        {"a": {"url": "gs://bucket"}, "b": {"url": url}}, nightly={"prefixes": ["nightly"]}
    )
    expected = (
        f"destinations.b.url: expected a place of its own, got {url!r}, which is destinations.a too"
    )
    assert [expected] == find_conflicts(config)


@pytest.mark.parametrize(
    ("source", "place", "url"),
    [
        ("build", "work", "build"),
        ("out", "work", "out/made"),
        (".", "work", "build"),
        ("./out/", "destinations.gcs.url", "out/clouds/gcs"),
        ("gs://bucket", "destinations.gcs.url", "gs://bucket/public"),
        ("/data", "destinations.gcs.url", "/data/public"),
    ],
)
def test_written_inside_the_source(source: str, place: str, url: str) -> None:
    """Nothing may be written inside the build: it would ship its own archives."""
    is_work = place == "work"
    config = make_config(
        {"gcs": {"url": "gs://elsewhere" if is_work else url}}, nightly={"prefixes": ["nightly"]}
    ).model_copy(
        update={"source": Source(url=source), "work": url if is_work else "/elsewhere/made"}
    )
    expected = f"{place}: expected a place outside source.url {source!r}, got {url!r}"
    assert [expected] == find_conflicts(config)


@pytest.mark.parametrize("url", ["input2", "../input", "/input", "gs://input", "inputs/input"])
def test_written_beside_the_source(url: str) -> None:
    """A place that merely reads like the source is no conflict."""
    config = make_config({"gcs": {"url": url}}, nightly={"prefixes": ["nightly"]})
    assert find_conflicts(config) == []


@pytest.mark.parametrize("url", ["gs://bucket/staging", "gs://bucket/staging/"])
def test_destination_inside_another(url: str) -> None:
    """A destination may not be the staging root of another: staging would reach production."""
    config = make_config(
        {"a": {"url": "gs://bucket"}, "b": {"url": url}}, nightly={"prefixes": ["nightly"]}
    )
    assert len(find_conflicts(config)) == 1


@pytest.mark.parametrize("depot", ["gs://bucket/staging", "gs://bucket/staging/depot"])
def test_depot_inside_a_staging_root(depot: str) -> None:
    """A depot may not stand in the staging root of a destination: staging would reach it."""
    config = make_config(
        {"a": {"url": "gs://bucket", "depot": depot}}, nightly={"prefixes": ["nightly"]}
    )
    assert len(find_conflicts(config)) == 1


@pytest.mark.parametrize(
    ("source", "url"), [("data", "/home/me/data/public"), ("/home/me/data", "data/public")]
)
def test_written_inside_the_source_by_another_name(source: str, url: str) -> None:
    """A relative and an absolute path are compared as places, and not as text."""
    config = make_config({"gcs": {"url": url}}, nightly={"prefixes": ["nightly"]}).model_copy(
        update={"source": Source(url=source), "work": "/elsewhere"}
    )
    (problem,) = find_conflicts(config, "/home/me")
    assert problem.startswith("destinations.gcs.url: expected a place outside source.url")
    assert find_conflicts(config, "/home/you") == []


class TestEnvironments:
    """Channels with a root, and what only they may have."""

    def test_sound(self) -> None:
        """Environments may share prefixes, and nest them: each has a root of its own."""
        config = make_config(
            dev={"root": "dev", "prefixes": ["{project}"]},
            live={"root": "live", "prefixes": ["{project}/a", "staging-{tag}"]},
        )
        assert find_conflicts(config) == []

    def test_all_or_none(self) -> None:
        """Where one channel has a root, each without one is told."""
        config = make_config(
            a={"prefixes": ["a"]}, b={"root": "b", "prefixes": ["b"]}, c={"prefixes": ["c"]}
        )
        assert find_conflicts(config) == [
            f"channels.{name}.root: expected a root, since channels.b has one, got none"
            for name in ("a", "c")
        ]

    def test_roots_differ(self) -> None:
        """Two channels with one root would overwrite each other."""
        config = make_config(a={"root": "x", "prefixes": ["a"]}, b={"root": "x", "prefixes": ["b"]})
        assert find_conflicts(config) == [
            "channels.b.root: expected a root of its own, got 'x', which is channels.a's too"
        ]

    def test_project_called_staging(self) -> None:
        """A prefix that the project's name makes one of Lading's is refused without a root."""
        for root, expected in (
            ("x", []),
            (
                "",
                [
                    (
                        "channels.a.prefixes[0]: expected a prefix outside staging, which Lading"
                        " keeps, got '{project}' of project 'staging'"
                    )
                ],
            ),
        ):
            config = make_config(a={"root": root, "prefixes": ["{project}"]})
            project = config.project.model_copy(update={"name": "staging"})
            assert find_conflicts(config.model_copy(update={"project": project})) == expected

    def test_neighbours_by_their_names(self) -> None:
        """Without roots the project's name counts in prefixes that hold another."""
        config = make_config(a={"prefixes": ["{project}"]}, b={"prefixes": ["sample/b"]})
        (found,) = find_conflicts(config)
        assert found.startswith("channels.b.prefixes[0]: expected a prefix beside those of")

    def test_depot_in_an_environment(self) -> None:
        """A depot below an environment's root would mix with that of the environment."""
        places = {"gcs": {"url": "gcs"}, "s3": {"url": "s3", "depot": "gcs/dev/x"}}
        config = make_config(places, dev={"root": "dev", "prefixes": ["p"]})
        assert find_conflicts(config) == [
            (
                "destinations.s3.depot: expected a place outside the dev root of destinations.gcs,"
                " got 'gcs/dev/x'"
            )
        ]

    @pytest.mark.parametrize(
        ("publish", "expected"),
        [
            ({"sums": "SUMS"}, "publish.sums: expected channels with a root beside it, got none"),
            ({"stored": "s.json"}, "publish.stored: expected channels with a root beside it"),
            ({"base_url": "https://e.org"}, "publish.base_url: expected channels with a root"),
        ],
    )
    def test_in_vain(self, publish: dict[str, Any], expected: str) -> None:
        """What only environments have is refused where there are none."""
        config = make_config(a={"prefixes": ["a"]})
        asked = config.model_copy(update={"publish": Publish(**publish)})
        (found,) = find_conflicts(asked)
        assert found.startswith(expected)

    def test_builds(self) -> None:
        """A build's name is its own, and its command names both files."""
        build = {"name": "t", "of": ["*"], "makes": "{stem}"}
        rules = [
            {**build, "command": ["x", "{input}", "{output}"]},
            {**build, "command": ["x", "-o={output}"]},
        ]
        config = make_config(a={"root": "a", "prefixes": ["a"]})
        publish = Publish.model_validate({"build": rules, "sums": "S", "stored": "S"})
        assert find_conflicts(config.model_copy(update={"publish": publish})) == [
            "publish.stored: expected another file than publish.sums, got 'S'",
            "publish.build[1].name: expected each name once, got 't' again",
            "publish.build[1].command: expected {input} in it, got 'x -o={output}'",
        ]
