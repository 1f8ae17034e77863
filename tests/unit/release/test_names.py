"""Tests of the names that a release resolves to, above all of what staging may touch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lading.config.load import parse_config
from lading.config.models import Config
from lading.errors import UsageError
from lading.release.manifest import depot_key_of
from lading.release.names import (
    Release,
    release_folder,
    resolve_channel,
    resolve_everything,
    resolve_release,
    tagged_prefixes,
)

NIGHTLY = r"nightly-\d{4}-\d{2}-\d{2}"
STABLE = r"v\d{4}\.\d{1,2}\.\d{1,2}"
PATTERNS = f"nightly: {NIGHTLY}, stable: {STABLE}"
CHANNELS: dict[str, Any] = {
    "nightly": {
        "tag": NIGHTLY,
        "prefixes": ["nightly", "eel-hole"],
        "branch": "nightly",
        "zenodo": {"env": "sandbox", "publish": True, "ignore": r"\.parquet$"},
        "cloud_run": [{"service": "viewer", "image": "example/viewer:1", "region": "us-east1"}],
    },
    "stable": {
        "tag": STABLE,
        "prefixes": ["{tag}", "stable"],
        "immutable": ["{tag}"],
        "hold": ["{tag}"],
        "zenodo": {"env": "production"},
    },
}
TAGS = {"nightly": "nightly-2025-02-05", "stable": "v2025.2.3"}


def make_config(channels: Mapping[str, Any] = CHANNELS, **parts: Any) -> Config:
    """Make a configuration with two destinations."""
    table = {
        "project": {"name": "sample"},
        "source": {"url": "builds/{channel}/{tag}"},
        "destinations": {"gcs": {"url": "gs://public"}, "s3": {"url": "s3://b", "depot": "s3://d"}},
        "channels": channels,
    }
    return parse_config(table | parts, "lading.toml")


def refusal(config: Config, channel: str, tag: str) -> str:
    """Return the message with which a release is refused."""
    with pytest.raises(UsageError) as caught:
        resolve_release(config, channel, tag, staging=False)
    return str(caught.value)


def keys_of(release: Release) -> list[str]:
    """Return every kind of key that a run of the release can write."""
    keys = []
    for destination in release.destinations:
        keys += [
            f"{destination.root}{depot_key_of('0' * 64)}",
            f"{destination.depot_prefix}{'0' * 64}",
            destination.manifest_key(release.tag),
        ]
        for prefix in destination.prefixes:
            keys += [f"{prefix.key_prefix}a", f"{prefix.history_prefix}a", prefix.lock_key]
    return keys


SEGMENTS = ["nightly", "eel-hole", "my.pre+fix", "{tag}", "{channel}", "data/{tag}", "x/staging/y"]


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Draw a configuration of one to three channels that each fit tags such as ``v12``."""
    names = draw(st.lists(st.sampled_from(["a", "gcs", "s_3"]), min_size=1, unique=True))
    destinations = {
        name: {"url": f"s3://bucket/{name}"}
        | draw(st.sampled_from([{}, {"depot": f"gs://depot/{name}"}]))
        for name in names
    }
    channels = {}
    for name in draw(st.lists(st.sampled_from(["alpha", "beta2", "c_d"]), min_size=1, unique=True)):
        prefixes = draw(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4, unique=True))
        tagged = [each for each in prefixes if "{tag}" in each]
        channels[name] = {
            "tag": r"v\d+",
            "prefixes": prefixes,
            "immutable": draw(st.lists(st.sampled_from(tagged), unique=True)) if tagged else [],
            "hold": [each for each in prefixes if "{tag}" in each and draw(st.booleans())],
            "branch": draw(st.sampled_from(["", "main"])),
            "destinations": draw(st.lists(st.sampled_from(sorted(destinations)), unique=True)),
        }
    return make_config(channels, destinations=destinations)


TAG = st.from_regex(r"v[0-9]{1,6}", fullmatch=True)


class TestChannel:
    """Which channel a tag belongs to."""

    @pytest.mark.parametrize("channel", ["nightly", "stable"])
    @pytest.mark.parametrize("is_named", [True, False])
    def test_resolved(self, channel: str, *, is_named: bool) -> None:
        """The channel is the one that is named, or the only one that the tag fits."""
        named = channel if is_named else ""
        release = resolve_release(make_config(), named, TAGS[channel], staging=False)
        assert (channel, TAGS[channel]) == (release.channel, release.tag)

    def test_disagree(self) -> None:
        """A type and a tag that disagree are refused with both named."""
        assert refusal(make_config(), "stable", "nightly-2025-02-05") == (
            f"tag: expected a tag of channel stable ({STABLE}), got 'nightly-2025-02-05',"
            " which is one of nightly"
        )

    def test_unknown(self) -> None:
        """An unknown type is refused with the nearest known one."""
        assert refusal(make_config(), "nigtly", "nightly-2025-02-05") == (
            "type: expected one of nightly, stable, got 'nigtly' (did you mean 'nightly'?)"
        )

    def test_two_fit(self) -> None:
        """A tag that fits two channels needs a type; with one it is taken."""
        config = make_config(
            {"a": {"tag": r"v\d+", "prefixes": ["a"]}, "b": {"tag": "v.*", "prefixes": ["b"]}}
        )
        expected = "type: expected one of a, b, since 'v1' fits each; got none"
        assert expected == refusal(config, "", "v1")
        assert resolve_release(config, "b", "v1", staging=False).channel == "b"

    @pytest.mark.parametrize("channel", ["", "nightly", "stable"])
    @pytest.mark.parametrize(
        "tag",
        [
            "",
            "main",
            "v2025.2.3; rm -rf /",
            "v2025.2.3\n",
            "\nv2025.2.3",
            "v2025.2.3\nnightly-2025-02-05",
            " v2025.2.3",
            "v2025.2.3/",
            "../v2025.2.3",
            "v2025/2/3",
            "xv2025.2.3",
            "v2025.2.3x",
            "nightly-2025-02-05-2",
            "nightly-2025-02-05\x00",
        ],
    )
    def test_no_channel(self, channel: str, tag: str) -> None:
        """A tag that fits no channel as a whole is refused with the patterns shown."""
        expected = f"tag: expected a tag that fits a channel ({PATTERNS}), got {tag!r}"
        assert expected == refusal(make_config(), channel, tag)

    def test_digits_of_another_script(self) -> None:
        """A tag that fits a pattern and cannot stand in a key is refused for that reason."""
        tag = "nightly-٢٠٢٥-٠٢-٠٥"  # noqa: RUF001  digits that \d takes
        assert refusal(make_config(), "", tag) == (
            f"tag: expected letters, digits and . _ + - only, since it stands in keys, got {tag!r}"
        )

    @pytest.mark.parametrize(
        "tag", ["a/b", "..", ".", "-f", "a b", "a;b", "a\n", "$(x)", "`x`", "é", "a\\b", "a:b"]
    )
    def test_unsafe(self, tag: str) -> None:
        """A tag that cannot stand in a key or a command is refused, whatever its pattern says."""
        config = make_config({"any": {"tag": "(?s:.*)", "prefixes": ["any"]}})
        assert repr(tag) in refusal(config, "any", tag)

    def test_alternatives_are_anchored(self) -> None:
        """A pattern of alternatives is anchored as a whole, not at its outer ends only."""
        config = make_config({"a": {"tag": "v1|w1", "prefixes": ["a"]}})
        assert resolve_release(config, "", "w1", staging=False).channel == "a"
        assert "'v1-w1'" in refusal(config, "", "v1-w1")

    @given(before=st.text(max_size=3), after=st.text(max_size=3))
    def test_anchored(self, before: str, after: str) -> None:
        """Nothing may stand before or after a tag of fixed length."""
        assume(before or after)
        tag = f"{before}nightly-2025-02-05{after}"
        with pytest.raises(UsageError):
            resolve_release(make_config(), "", tag, staging=False)


class TestStaging:
    """What a staging run may touch."""

    @given(config=configs(), tag=TAG, data=st.data())
    def test_every_key_is_below_staging(
        self, config: Config, tag: str, data: st.DataObject
    ) -> None:
        """A staging run has no key outside staging/, a production run none inside it."""
        channel = data.draw(st.sampled_from(sorted(config.channels)))
        staged = keys_of(resolve_release(config, channel, tag, staging=True))
        public = keys_of(resolve_release(config, channel, tag, staging=False))
        assert [key for key in staged if not key.startswith("staging/")] == []
        assert [key for key in public if key.startswith("staging/")] == []

    @given(config=configs(), tag=TAG, data=st.data())
    def test_same_names(self, config: Config, tag: str, data: st.DataObject) -> None:
        """A staging run has the keys of the production run, each below staging/."""
        channel = data.draw(st.sampled_from(sorted(config.channels)))
        staged = keys_of(resolve_release(config, channel, tag, staging=True))
        public = keys_of(resolve_release(config, channel, tag, staging=False))
        assert [f"staging/{key}" for key in public] == staged

    @given(config=configs(), tag=TAG, data=st.data())
    def test_urls_are_the_same(self, config: Config, tag: str, data: st.DataObject) -> None:
        """Both environments go to the same destinations at the same URLs from the same build."""
        channel = data.draw(st.sampled_from(sorted(config.channels)))
        staged = resolve_release(config, channel, tag, staging=True)
        public = resolve_release(config, channel, tag, staging=False)
        assert staged.source_url == public.source_url
        expected = [(each.name, each.url, each.depot_url) for each in public.destinations]
        assert expected == [(each.name, each.url, each.depot_url) for each in staged.destinations]

    @pytest.mark.parametrize(
        ("name", "prefix", "tag"),
        [
            ("any", "{tag}", "staging"),
            ("staging", "{channel}", "v1"),
            ("any", "stag{tag}", "ing"),
            ("any", "{tag}/data", "staging"),
        ],
    )
    def test_production_cannot_be_named_staging(self, name: str, prefix: str, tag: str) -> None:
        """A prefix that becomes a reserved one once it is filled is refused."""
        with pytest.raises(UsageError):
            resolve_release(
                make_config({name: {"tag": ".*", "prefixes": [prefix]}}), "", tag, staging=False
            )

    @pytest.mark.parametrize("staging", [True, False])
    def test_immutable(self, *, staging: bool) -> None:
        """The prefix that is never rewritten is so in production only."""
        release = resolve_release(make_config(), "stable", "v2025.2.3", staging=staging)
        expected = [("v2025.2.3", not staging), ("stable", False)] * 2
        assert expected == [(each.name, each.immutable) for each in release.prefixes]

    @pytest.mark.parametrize("staging", [True, False])
    @pytest.mark.parametrize("channel", ["nightly", "stable"])
    def test_calls(self, channel: str, *, staging: bool) -> None:
        """Outside services are called in production; in staging each is skipped and says why."""
        release = resolve_release(make_config(), channel, TAGS[channel], staging=staging)
        expected = {"staging"} if staging else {""}
        assert expected == {call.skipped for call in release.calls}

    @pytest.mark.parametrize("staging", [True, False])
    def test_environment(self, *, staging: bool) -> None:
        """The environment has one of two names."""
        release = resolve_release(make_config(), "", "v2025.2.3", staging=staging)
        assert ("staging" if staging else "production") == release.environment


class TestNames:
    """The names of a run, literally."""

    def test_prefix(self) -> None:
        """A prefix has its task, its keys, its lock and its history below the root of the run."""
        release = resolve_release(make_config(), "", "nightly-2025-02-05", staging=True)
        prefix = release.destinations[1].prefixes[1]
        assert prefix.task == "s3-eel-hole"
        assert prefix.key_prefix == "staging/eel-hole/"
        assert prefix.lock_key == "staging/.lading/locks/eel-hole"
        assert prefix.history_prefix == "staging/.lading/history/eel-hole/"

    def test_destination(self) -> None:
        """A destination has its task, its depot and the place of its manifests."""
        release = resolve_release(make_config(), "", "v2025.2.3", staging=False)
        gcs, s3 = release.destinations
        assert gcs.task == "gcs-stable"
        assert gcs.depot_prefix == ".lading/objects/"
        assert gcs.manifest_key("v2025.2.3") == ".lading/releases/stable/v2025.2.3.json"
        assert (gcs.url, gcs.depot_url) == ("gs://public", "gs://public")
        assert (s3.url, s3.depot_url) == ("s3://b", "s3://d")

    @pytest.mark.parametrize("staging", [True, False])
    def test_sibling(self, *, staging: bool) -> None:
        """The depot that is read beside the own one is that of the other environment."""
        own, other = (
            resolve_release(make_config(), "", "v2025.2.3", staging=each)
            for each in (staging, not staging)
        )
        expected = [(each.depot_prefix,) for each in other.destinations]
        assert expected == [each.sibling_depot_prefixes for each in own.destinations]

    def test_placeholders(self) -> None:
        """{tag} and {channel} are filled in the source and in the prefixes."""
        config = make_config({"c": {"tag": "v1", "prefixes": ["data/{channel}/{tag}"]}})
        release = resolve_release(config, "", "v1", staging=False)
        assert release.source_url == "builds/c/v1"
        assert [each.name for each in release.prefixes] == ["data/c/v1"] * 2

    def test_chosen_destinations(self) -> None:
        """A channel that names destinations goes to these, in its own order."""
        config = make_config(
            {"c": {"tag": "v1", "prefixes": ["{tag}"], "hold": ["{tag}"], "destinations": ["s3"]}}
        )
        release = resolve_release(config, "", "v1", staging=False)
        assert [each.name for each in release.destinations] == ["s3"]
        assert [(each.task, each.held) for each in release.prefixes] == [("s3-v1", True)]
        assert release.calls == ()

    def test_calls_of_nightly(self) -> None:
        """The calls stand in the order of a release and say what they change."""
        release = resolve_release(make_config(), "", "nightly-2025-02-05", staging=False)
        assert [(each.task, each.effect) for each in release.calls] == [
            ("git_merge", "branch nightly moved to nightly-2025-02-05"),
            ("zenodo", "deposit at Zenodo sandbox, published"),
            ("cloud_run:viewer", "example/viewer:1 in us-east1"),
        ]

    def test_calls_of_stable(self) -> None:
        """A hold is no call but a task of its own; a deposit that waits says so."""
        release = resolve_release(make_config(), "", "v2025.2.3", staging=False)
        assert [(each.task, each.effect) for each in release.calls] == [
            ("zenodo", "deposit at Zenodo production, left as a draft"),
        ]

    def test_held_prefixes(self) -> None:
        """The prefixes that the channel names are held; in staging the run says why it does not."""
        for staging, reason in ((False, ""), (True, "staging")):
            release = resolve_release(make_config(), "", "v2025.2.3", staging=staging)
            held = {each.task: each.hold_skipped for each in release.prefixes if each.held}
            assert held == {"gcs-v2025.2.3": reason, "s3-v2025.2.3": reason}

    @pytest.mark.parametrize(("staging", "root"), [(False, ""), (True, "staging/")])
    def test_channel_without_a_tag(self, *, staging: bool, root: str) -> None:
        """Without a tag a channel has its destinations, and the prefixes that need none."""
        found = resolve_channel(make_config(), "stable", staging=staging)
        names = [(each.name, [prefix.name for prefix in each.prefixes]) for each in found]
        assert names == [("gcs", ["stable"]), ("s3", ["stable"])]
        assert {root} == {each.root for each in found} | {
            prefix.root for each in found for prefix in each.prefixes
        }

    def test_unknown_channel_without_a_tag(self) -> None:
        """An unknown channel is refused with the known ones."""
        with pytest.raises(UsageError, match="type: expected one of nightly, stable"):
            resolve_channel(make_config(), "stabel", staging=False)

    def test_every_destination_once(self) -> None:
        """Each destination is there once, also one of no channel, with all moving prefixes."""
        config = make_config(
            {
                "a": {"tag": "a.*", "prefixes": ["{tag}", "one", "both"], "destinations": ["s3"]},
                "b": {"tag": "b.*", "prefixes": ["both", "two"], "destinations": ["s3"]},
            }
        )
        found = resolve_everything(config, staging=True)
        names = {each.name: [prefix.name for prefix in each.prefixes] for each in found}
        assert names == {"gcs": [], "s3": ["one", "both", "two"]}
        assert {"staging/"} == {each.root for each in found}

    def test_prefixes_of_a_tag(self) -> None:
        """A tag has the prefixes that hold it; a channel that is no longer configured has none."""
        assert tagged_prefixes(make_config(), "stable", "v1.2.3") == ("v1.2.3",)
        assert tagged_prefixes(make_config(), "nightly", "n") == ()
        assert tagged_prefixes(make_config(), "gone", "v1.2.3") == ()

    def test_tag_that_is_another_prefix(self) -> None:
        """A tag that makes two prefixes the same is refused."""
        config = make_config({"c": {"tag": ".*", "prefixes": ["latest", "{tag}"]}})
        assert "latest" in refusal(config, "", "latest")

    @given(config=configs(), tag=TAG, data=st.data())
    def test_tasks_are_distinct(self, config: Config, tag: str, data: st.DataObject) -> None:
        """No two prefixes of a release share a task, a lock or a key."""
        channel = data.draw(st.sampled_from(sorted(config.channels)))
        prefixes = resolve_release(config, channel, tag, staging=False).prefixes
        assert len(prefixes) == len({each.task for each in prefixes})
        places = {(each.destination, each.key_prefix, each.lock_key) for each in prefixes}
        assert len(prefixes) == len(places)

    def test_folder(self) -> None:
        """The work of a release has a folder of its own."""
        expected = Path("build/releases/nightly/n1")
        assert expected == release_folder(Path("build"), "nightly", "n1")


class TestDeposit:
    """Which files go to Zenodo."""

    @pytest.mark.parametrize(
        ("zenodo", "expected"),
        [
            (None, []),
            ({"env": "sandbox"}, ["a.parquet", "a.zip", "b/c.json"]),
            ({"env": "sandbox", "ignore": r"\.parquet$"}, ["a.zip", "b/c.json"]),
            ({"env": "sandbox", "ignore": r"\.parquet$|/"}, ["a.zip"]),
            ({"env": "sandbox", "ignore": "."}, []),
        ],
    )
    @pytest.mark.parametrize("staging", [True, False])
    def test_deposited(
        self, zenodo: dict[str, str] | None, expected: list[str], *, staging: bool
    ) -> None:
        """A deposit carries what the ignored pattern is not found in, in staging too."""
        channel = {"tag": "v1", "prefixes": ["a"]} | ({"zenodo": zenodo} if zenodo else {})
        release = resolve_release(make_config({"c": channel}), "", "v1", staging=staging)
        keys = ["a.parquet", "a.zip", "b/c.json"]
        assert expected == [key for key in keys if release.is_deposited(key)]
