"""Tests of files that a command builds: once, whole, or not at all."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lading.config.publish import Build
from lading.errors import CommandError, PrepareError
from lading.prepare.built import build_file, making_of
from lading.prepare.digests import DigestCache

RULE = Build(
    name="tiles",
    of=("*.geojson",),
    makes="{stem}.zip",
    command=("tool", "tool.py", "--from={input}", "{output}"),
)


@dataclass
class Work:
    """A file to build of, and a command that is a function."""

    folder: Path
    data: bytes = b"built"
    calls: list[list[str]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    @property
    def source(self) -> Path:
        """What is built of."""
        return self.folder / "a.geojson"

    @property
    def target(self) -> Path:
        """What is built."""
        return self.folder / "out" / "a.zip"

    def run(self, arguments: Sequence[str], timeout_s: float) -> None:
        """Write what the command would."""
        assert timeout_s == 3600
        self.calls.append([*arguments])
        self.meanwhile()
        Path(arguments[-1]).write_bytes(self.data)

    def build(self, rule: Build = RULE, run: Callable[..., object] | None = None) -> bool:
        """Build, as a new process would."""
        cache = DigestCache(self.folder / "digests.sqlite")
        making = making_of(rule, self.folder, cache)
        return build_file(rule, self.source, self.target, making, run=run or self.run, cache=cache)

    def left(self) -> list[str]:
        """Return the names that stand where it is built."""
        return sorted(each.name for each in self.target.parent.iterdir())


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Return a file to build of."""
    (tmp_path / "a.geojson").write_bytes(b"{}")
    (tmp_path / "tool.py").write_bytes(b"1")
    return Work(tmp_path)


def test_built_once(work: Work) -> None:
    """The command gets paths, its file takes the name when whole, and it is not run again."""
    assert work.build()
    ((tool, script, given, made),) = work.calls
    assert (tool, script, given) == ("tool", "tool.py", f"--from={work.source}")
    assert Path(made).name == "a.zip"
    assert Path(made) != work.target
    assert work.target.read_bytes() == b"built"
    assert not work.build()
    assert len(work.calls) == 1
    assert work.left() == ["a.zip", "a.zip.receipt.json"]


@pytest.mark.parametrize("what", ["input", "script", "command", "output", "lost"])
def test_built_again(work: Work, what: str) -> None:
    """Another input, program or command builds anew; so does a file that was changed or lost."""
    work.build()
    rule = RULE
    if what == "command":
        rule = RULE.model_copy(update={"command": (*RULE.command[:2], "-x", *RULE.command[2:])})
    elif what == "lost":
        shutil.rmtree(work.target.parent)
    else:
        files = {"input": work.source, "script": work.folder / "tool.py", "output": work.target}
        files[what].write_bytes(b"others")
    assert work.build(rule)
    assert len(work.calls) == 2
    assert work.target.read_bytes() == b"built"


@pytest.mark.parametrize("standing", [True, False])
def test_failure_leaves_what_stood(work: Work, *, standing: bool) -> None:
    """A command that fails, or writes nothing, leaves what stood there before, and no more."""
    if standing:
        work.build()
        work.source.write_bytes(b"changed")

    def fail(arguments: Sequence[str], timeout_s: float) -> None:
        del timeout_s
        Path(arguments[-1]).write_bytes(b"half")
        raise CommandError("tool: expected exit code 0, got 1: no")

    with pytest.raises(CommandError, match="got 1: no"):
        work.build(run=fail)
    with pytest.raises(
        PrepareError, match=r"publish.build tiles: .* a.zip of a.geojson, found none"
    ):
        work.build(run=lambda *_: None)
    work.data = b""
    with pytest.raises(PrepareError, match="found an empty one"):
        work.build()
    assert work.left() == (["a.zip", "a.zip.receipt.json"] if standing else [])


def test_link_is_no_file(work: Work) -> None:
    """A command that leaves a link has made no file: what it points to may change."""

    def link(arguments: Sequence[str], timeout_s: float) -> None:
        del timeout_s
        Path(arguments[-1]).symlink_to(work.source)

    with pytest.raises(PrepareError, match="found none"):
        work.build(run=link)


def test_input_that_changes(work: Work) -> None:
    """An input that changes while it is read is no version: nothing is kept as made of it."""
    work.meanwhile = lambda: work.source.write_bytes(b"changed meanwhile")
    with pytest.raises(PrepareError, match=r"a\.geojson: expected a file at rest"):
        work.build()
    work.meanwhile = lambda: None
    assert work.build()


def test_leftover_of_a_killed_run(work: Work) -> None:
    """What a killed command left behind is gone before the next begins."""
    left = work.target.parent / ".a.zip.parts" / "a.zip"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    with pytest.raises(PrepareError, match="found none"):
        work.build(run=lambda *_: None)
    assert work.left() == []


def test_no_second_filling(work: Work) -> None:
    """A path that looks like a placeholder is given as it is."""
    source = work.folder / "{output}.geojson"
    source.write_bytes(b"{}")
    cache = DigestCache(work.folder / "digests.sqlite")
    making = making_of(RULE, work.folder, cache)
    build_file(RULE, source, work.target, making, run=work.run, cache=cache)
    assert work.calls[0][2] == f"--from={source}"
