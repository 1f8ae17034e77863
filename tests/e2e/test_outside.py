"""What a release does outside the stores: the installed doit against servers on loopback."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.outside import (
    OLD_TAG,
    STABLE,
    TOKENS,
    Outside,
    OutsideProject,
    Runner,
    config_of,
    drafts,
    git,
    make_outside_project,
    published,
    serve_outside,
)
from tests.e2e.project import DOIT, TAG
from tests.fakes.slack import Room

ROAD = ["git_merge", "zenodo", "cloud_run:viewer", "notify"]
WRONG_ORDERS = {
    ("--manifest", "0" * 64): "expected release.json with sha256 0000",
    ("--manifest", "abc"): "expected 64 hexadecimal digits, got 'abc'",
    ("--env", "production"): "channels.nightly.zenodo.env: expected 'production'",
    ("--source-dir", "s3://elsewhere/x"): "expected a prefix of a destination",
    ("--source-dir", "{clouds}/gcs/staging/nightly"): "which staging wrote",
}
ENDED = re.compile(r"^(\S+)\s+(?:done|unchanged|skipped|failed)\b", re.MULTILINE)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    """All the outside, on loopback."""
    with serve_outside(tmp_path / "outside") as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, outside: Outside) -> OutsideProject:
    """A project that deposits itself and has another repository deploy."""
    return make_outside_project(tmp_path / "project", outside, config_of(outside))


def order_of(printed: str) -> list[str]:
    """Return the tasks after the uploads in the order in which they ended."""
    ended = ENDED.findall(printed.partition("\ntask ")[0])
    return [each for each in ended if each in ROAD or each.startswith(("promote:", "hold:"))]


def texts_of(room: Room) -> list[str]:
    """Return all that the messages of a channel say, one text a message."""
    return [json.dumps(message) for message in room.messages]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OutsideProject, str]]:
    """A project that was released once, and what that printed. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("released")
    with serve_outside(folder / "outside") as outside:
        project = make_outside_project(folder / "project", outside, config_of(outside))
        yield project, project.release()


@pytest.mark.xdist_group("outside-released")
class TestReleased:
    """What a release in production leaves."""

    def test_all_of_it_once(self, released: tuple[OutsideProject, str]) -> None:
        """It moves the branch, publishes one version, deploys and tells: each once, in order."""
        project, printed = released
        outside = project.outside

        assert order_of(printed)[-4:] == ROAD
        assert all(each.startswith("promote:") for each in order_of(printed)[:-4])
        assert outside.branches()["nightly"] == git(project.folder, "rev-parse", TAG)
        assert outside.moves("nightly") == 2  # when the tests began with it, and now
        assert [each.metadata["version"] for each in published(outside.sandbox)] == [TAG]
        assert drafts(outside.sandbox) == []
        assert [(run.inputs, run.conclusion) for run in outside.github.runs] == [
            ({"release": TAG}, "success")
        ]
        assert len(outside.slack.messages) == 1
        assert "released: every object was read back" in printed

    def test_doi_in_the_manifest(self, released: tuple[OutsideProject, str]) -> None:
        """The DOI of the record stands in release.json, in the buckets and in the record itself."""
        project, _ = released
        (record,) = published(project.outside.sandbox)
        public = (project.clouds / "gcs" / "nightly" / "release.json").read_bytes()

        assert json.loads(public)["doi"] == record.doi
        assert record.files["release.json"].stored == public

    def test_bytes_of_the_release(self, released: tuple[OutsideProject, str]) -> None:
        """The record has each public file that is not ignored, byte for byte, and no other."""
        project, _ = released
        (record,) = published(project.outside.sandbox)
        folder = project.clouds / "s3" / "nightly"
        kept = [path for path in folder.iterdir() if not path.name.startswith("table")]

        assert {key: each.stored for key, each in record.files.items()} == {
            path.name: path.read_bytes() for path in kept
        }

    def test_receipt_of_each(self, released: tuple[OutsideProject, str]) -> None:
        """Each receipt says what was read back, of which release."""
        project, printed = released
        names = ("git_merge", "zenodo", "cloud_run/viewer")
        facts = {name: project.receipt(name) for name in names}
        (record,) = published(project.outside.sandbox)

        assert {each["tag"] for each in facts.values()} == {TAG}
        assert len({each["manifest_sha256"] for each in facts.values()}) == 1
        assert facts["git_merge"]["facts"]["commit"] == git(project.folder, "rev-parse", TAG)
        assert facts["zenodo"]["facts"]["record"] == record.id
        assert facts["zenodo"]["facts"]["state"] == "published"
        assert facts["cloud_run/viewer"]["facts"]["conclusion"] == "success"
        assert f"\nzenodo: {facts['zenodo']['facts']['url']}\n" in printed


class TestAgain:
    """The same command once more."""

    def test_changes_nothing(self, project: OutsideProject) -> None:
        """It makes no call that could change anything, and says so."""
        project.release()
        before = project.outside.writes()
        printed = project.release()

        assert project.outside.writes() == before
        assert "nothing to do: everything is as released" in printed

    @pytest.mark.slow
    def test_on_another_machine_changes_nothing(self, project: OutsideProject) -> None:
        """A machine that knows nothing finds all of it, but for the run that bears no mark."""
        project.release()
        before = project.outside.writes()
        project.forget()
        project.release()
        after = project.outside.writes()

        assert {n: after[n] for n in ("git", "sandbox", "production")} == {
            n: before[n] for n in ("git", "sandbox", "production")
        }
        assert len(project.outside.slack.messages) == 1


class TestStaging:
    """A rehearsal, with every token in the environment and every service listening."""

    @pytest.mark.parametrize("tag", [TAG, STABLE])
    def test_reaches_nothing(self, project: OutsideProject, tag: str) -> None:
        """It writes nowhere but to Slack, and says of each call why it is skipped."""
        outside = project.outside
        before = outside.writes()
        done = project.quick("distribute", f"tag={tag}", "staging=1")

        assert done.returncode == 0, done.stderr
        after = outside.writes()
        assert {**after, "slack": before["slack"]} == before
        assert outside.sandbox.calls == outside.production.calls == []
        assert outside.cloud_run.calls == []
        assert outside.github.calls == []
        assert "zenodo                             skipped staging: deposit at" in done.stdout

    def test_tells_what_the_branch_would_do(self, project: OutsideProject) -> None:
        """It asks the remote, and says from which commit to which the branch would move."""
        done = project.quick("distribute", f"tag={TAG}", "staging=1")
        old, new = (git(project.folder, "rev-parse", "--short=7", t) for t in (OLD_TAG, TAG))

        lines = [each for each in done.stdout.splitlines() if each.startswith("git_merge ")]
        line = lines[1]  # after the one that says that it begins
        assert f"staging: branch nightly moved to {TAG}" in line
        assert old in line
        assert new in line

    def test_message_says_staging(self, project: OutsideProject) -> None:
        """The team is told of a rehearsal as of one."""
        project.quick("distribute", f"tag={TAG}", "staging=1")
        (text,) = texts_of(project.outside.slack.rooms[0])

        assert "STAGING" in text


class TestLooking:
    """plan and verify."""

    def test_plan_shows_and_writes_nothing(self, project: OutsideProject) -> None:
        """Before a release plan names each call as a change, afterwards as kept."""
        before = project.outside.writes()
        first = project.quick("plan", f"tag={TAG}")
        assert project.outside.writes() == before
        assert re.search(r"^git_merge +change ", first.stdout, re.MULTILINE)
        assert re.search(r"^zenodo +change ", first.stdout, re.MULTILINE)
        project.release()
        before = project.outside.writes()
        again = project.quick("plan", f"tag={TAG}")

        assert project.outside.writes() == before
        assert "nothing to do" in again.stdout, again.stdout + again.stderr

    def test_verify_proves_each(self, project: OutsideProject) -> None:
        """Verify proves branch, record and run; and names what has changed since."""
        project.release()
        good = project.quick("verify", f"tag={TAG}")
        assert good.returncode == 0, good.stdout + good.stderr
        assert "zenodo                     as released" in good.stdout
        git(project.outside.origin, "update-ref", "refs/heads/nightly", f"{OLD_TAG}^{{commit}}")
        (record,) = published(project.outside.sandbox)
        record.files["release.json"].stored = b"{}"
        bad = project.quick("verify", f"tag={TAG}")

        assert bad.returncode == 1
        assert "git_merge: " in bad.stderr
        assert "zenodo: " in bad.stderr

    @pytest.mark.slow
    def test_verify_on_another_machine(self, project: OutsideProject) -> None:
        """A machine without local state proves what it can find by its mark."""
        project.release()
        project.forget()
        done = project.quick("verify", f"tag={TAG}")

        assert re.search(r"^git_merge +as released$", done.stdout, re.MULTILINE)
        assert re.search(r"^zenodo +as released$", done.stdout, re.MULTILINE)


class TestFailure:
    """A run that fails, and the same command again."""

    def test_everything_missing_is_told_at_once(self, project: OutsideProject) -> None:
        """Without tokens nothing is begun: each call that lacks one says so, in one run."""
        empty = dict.fromkeys(TOKENS, "")
        done = project.quick("distribute", f"tag={TAG}", **empty)

        assert done.returncode == 1
        assert "\naccess:outside failed: zenodo: ZENODO_SANDBOX_TOKEN: expected a token" in (
            f"\n{done.stderr}"
        )
        assert "\ncloud_run:viewer: GitHub: expected a token" in done.stderr
        assert not project.clouds.joinpath("gcs", "nightly").exists()
        assert project.outside.sandbox.calls == []

    def test_is_told_and_then_mended_in_one_message(self, project: OutsideProject) -> None:
        """A failed run tells step, error and command; the next one mends that message."""
        outside = project.outside
        outside.github.on_dispatch = lambda _inputs, _ref: "failure"
        failed = project.quick("distribute", f"tag={TAG}")
        assert failed.returncode == 1
        (text,) = texts_of(outside.slack.rooms[0])
        assert "cloud_run:viewer" in text
        assert f"doit distribute tag={TAG}" in text
        outside.github.on_dispatch = lambda _inputs, _ref: "success"
        project.release()
        (text,) = texts_of(outside.slack.rooms[0])

        assert "failed" not in text
        assert outside.moves("nightly") == 2
        assert len(published(outside.sandbox)) == 1

    @pytest.mark.slow
    def test_slack_that_is_gone_is_no_failure(self, project: OutsideProject) -> None:
        """A Slack that says no is a loud line, and the release ends well."""
        project.outside.slack.fail(*["channel_not_found"] * 50)
        printed = project.release()

        assert "notify warns: " in printed
        assert "released: every object was read back" in printed

    def test_summary_and_annotations_in_actions(
        self, project: OutsideProject, tmp_path: Path
    ) -> None:
        """In GitHub Actions a failed step is an annotation, and the table is the job's summary."""
        project.outside.github.on_dispatch = lambda _inputs, _ref: "failure"
        summary = tmp_path / "summary.md"
        summary.write_text("before\n")
        done = project.quick(
            "distribute",
            f"tag={TAG}",
            GITHUB_ACTIONS="true",
            GITHUB_STEP_SUMMARY=str(summary),
            GITHUB_RUN_ID="77",
            GITHUB_RUN_ATTEMPT="2",
        )
        folder = project.work / "releases" / "nightly" / TAG / "production"

        (line,) = [each for each in done.stdout.splitlines() if each.startswith("::error ")]
        assert "cloud_run" in line
        assert summary.read_text().startswith("before\n")
        assert "failed" in summary.read_text()
        assert (folder / "summary.md").read_text() in summary.read_text()
        assert json.loads((folder / "notify" / "told.json").read_bytes()) == {"run": "77-2"}

    def test_nothing_is_told_before_it_is_public(self, project: OutsideProject) -> None:
        """Told to run one call alone, doit is refused as long as the prefixes are not switched."""
        done = project.quick("upload", f"tag={TAG}")
        assert done.returncode == 0, done.stderr
        done = project.quick("-s", "git_merge", f"tag={TAG}")

        assert done.returncode != 0
        assert project.outside.moves("nightly") == 1


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("publish = true", "publish = true\nmax_files = 3", "expected at most 3 files, got 7"),
        ("ignore = '^table'", "ignore = '^nothing'\n", ""),
        ('*.parquet" = "{name}"', '*.parquet" = "a/{name}"', "a/table_000.parquet"),
    ],
)
def test_deposit_without_room_is_refused_before_anything_is_sent(
    project: OutsideProject, before: str, after: str, expected: str
) -> None:
    """What Zenodo would refuse is refused when the manifest is made, in staging too."""
    config = (project.folder / "lading.toml").read_text()
    assert before in config
    if "a/" in after:
        config = config.replace("ignore = '^table'", "ignore = '^none'")
    (project.folder / "lading.toml").write_text(config.replace(before, after, 1))
    done = project.quick("distribute", f"tag={TAG}", "staging=1")

    if expected:
        assert done.returncode == 1
        assert expected in done.stderr
        assert not project.clouds.joinpath("gcs", "staging").exists()
    else:
        assert done.returncode == 0, done.stderr


def test_a_branch_that_moved_on_stops_before_anything_long(project: OutsideProject) -> None:
    """A branch that is no ancestor of the tag is refused in seconds, both commits named."""
    git(project.folder, "checkout", "-q", "--orphan", "other")
    git(project.folder, "commit", "-q", "--allow-empty", "-m", "other")
    git(project.folder, "push", "-q", "--force", "origin", "HEAD:refs/heads/nightly")
    git(project.folder, "checkout", "-q", "--detach", TAG)
    done = project.quick("distribute", f"tag={TAG}")

    assert done.returncode == 1
    assert git(project.folder, "rev-parse", TAG) in done.stderr
    assert git(project.folder, "rev-parse", "other") in done.stderr
    assert not project.clouds.joinpath("gcs", "nightly").exists()


@pytest.mark.slow
def test_work_folder_may_go_at_any_time(project: OutsideProject) -> None:
    """The draft that holds the reserved DOI is found again by its mark, not by local notes."""
    done = project.quick("doi", f"tag={TAG}")
    assert done.returncode == 0, done.stderr
    (draft,) = drafts(project.outside.sandbox)
    shutil.rmtree(project.work)
    project.release()
    (record,) = published(project.outside.sandbox)

    assert record.id == draft.id
    assert record.doi == draft.doi


class TestWorkflow:
    """The deposit by our own workflow: dispatched, run as it stands in the file, followed."""

    @pytest.fixture
    def project(self, tmp_path: Path, outside: Outside) -> OutsideProject:
        """A project whose releases are deposited by the workflow, from the public prefix."""
        config = config_of(outside, zenodo="workflow", cloud_run="")
        for cloud in ("gcs", "s3"):
            config = config.replace(f'"clouds/{cloud}"', f'"{tmp_path}/project/clouds/{cloud}"')
        return make_outside_project(tmp_path / "project", outside, config)

    def test_whole_chain(self, project: OutsideProject, tmp_path: Path) -> None:
        """The run deposits and publishes the release's bytes; its end is the task's end."""
        runner = Runner(project, tmp_path)
        project.outside.github.on_dispatch = runner
        project.release()
        (record,) = published(project.outside.sandbox)
        manifest = (project.clouds / "gcs" / "nightly" / "release.json").read_bytes()

        assert record.files["release.json"].stored == manifest
        assert project.receipt("zenodo")["facts"]["conclusion"] == "success"
        assert "sent release.json" in runner.printed[0]
        assert [run.title for run in project.outside.github.runs] == [
            f"zenodo sandbox {hashlib.sha256(manifest).hexdigest()}"
        ]

    @pytest.mark.slow
    def test_later_switch_changes_nothing(self, project: OutsideProject, tmp_path: Path) -> None:
        """A night that is promoted between dispatch and job does not change what is deposited."""
        tonight: list[bytes] = []

        def promote_another() -> None:
            place = project.clouds / "gcs" / "nightly"
            tonight.append((place / "release.json").read_bytes())
            for path in place.iterdir():
                path.write_bytes(b"of another night")

        project.outside.github.on_dispatch = Runner(project, tmp_path, before=promote_another)
        project.release()
        (record,) = published(project.outside.sandbox)
        stored = {key: each.stored for key, each in record.files.items()}

        assert stored["release.json"] == tonight[0]
        found = {key: hashlib.md5(data or b"").hexdigest() for key, data in stored.items()}
        wanted = {each["key"]: each["md5"] for each in _deposited(tonight[0])}
        assert {key: found[key] for key in wanted} == wanted

    @pytest.mark.slow
    def test_failed_run_fails_the_step_and_goes_on(
        self, project: OutsideProject, tmp_path: Path
    ) -> None:
        """A run that fails is told with its URL; the same command starts one that ends it."""
        runner = Runner(project, tmp_path)
        project.outside.github.on_dispatch = lambda _inputs, _ref: "failure"
        failed = project.quick("distribute", f"tag={TAG}")
        assert failed.returncode == 1
        assert "https://github.com/owner/name/actions/runs/" in failed.stderr
        project.outside.github.on_dispatch = runner
        project.release()

        assert len(published(project.outside.sandbox)) == 1
        assert [run.conclusion for run in project.outside.github.runs] == ["failure", "success"]

    @pytest.mark.slow
    def test_wrong_order_is_refused(self, project: OutsideProject) -> None:
        """A deposit that does not fit the configuration is refused in one line, nothing done."""
        project.quick("upload", f"tag={TAG}")
        done = project.quick("-s", "promote:gcs-nightly", f"tag={TAG}")
        assert done.returncode == 0, done.stderr
        right = {
            "--env": "sandbox",
            "--source-dir": f"{project.clouds}/gcs/nightly",
            "--manifest": _sha256(project.clouds / "gcs" / "nightly" / "release.json"),
        }
        for (option, value), expected in WRONG_ORDERS.items():
            order = {**right, option: value.format(clouds=project.clouds)}
            code, told = _deposit(project, order)

            assert code in {1, 2, 3}, told
            assert expected in told
            assert told.count("\n") == 1
        assert project.outside.sandbox.calls == project.outside.production.calls == []


def _deposit(project: OutsideProject, order: Mapping[str, str]) -> tuple[int, str]:
    """Run `lading deposit`; return its exit code and what it said on stderr."""
    options = [f"{name}={each}" for name, each in order.items()]
    done = subprocess.run(
        [str(DOIT.with_name("lading")), "deposit", "--no-publish", *options],
        cwd=project.folder,
        env=project.environment(None),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


def _deposited(manifest: bytes) -> list[dict[str, str]]:
    return [each for each in json.loads(manifest)["files"] if "md5" in each]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_draft_that_was_discarded_is_begun_again(project: OutsideProject) -> None:
    """Where a person discards the draft with the DOI, the same command reserves another."""
    assert project.quick("promote", f"tag={TAG}").returncode == 0
    (draft,) = drafts(project.outside.sandbox)
    del project.outside.sandbox.state.drafts[draft.id]
    project.release()
    (record,) = published(project.outside.sandbox)
    public = json.loads((project.clouds / "s3" / "nightly" / "release.json").read_bytes())

    assert record.doi != draft.doi
    assert public["doi"] == record.doi
