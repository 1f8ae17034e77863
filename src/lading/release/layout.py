"""Which file of a build becomes which public key; what is made of some; which stay at home.

The layout is a mapping. No file of the build is moved, renamed or changed.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from pathspec import GitIgnoreSpec

from lading.config.models import BundleRule, Config
from lading.errors import LayoutError, SourceError
from lading.release.objects import Digest

if TYPE_CHECKING:
    from lading.release.stored import StoredAsset

RELEASE_KEY = "release.json"
SUMS_KEY = "SHA256SUMS"
REPORT_KEY = "report.html"  # of the run, beside release.json; no part of the release
Kind = Literal["file", "sqlite", "bundle", "built", "stored"]
BUILT_FOLDER = ".built"
JOURNALS = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database that is open


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a build."""

    path: str
    """Path in the build, with forward slashes."""
    size_bytes: int
    """Size when it was listed."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One public file: a file of the build, or one made of some, or one that is stored already."""

    key: str
    """Its key inside a prefix."""
    kind: Kind
    """What it is: the file itself, a zipped database, a stored bundle, what a command built, or an
    asset that stands in storage already."""
    path: str
    """Path of the file in the build, or of what was made in the archive folder; of a stored asset
    its URL."""
    members: tuple[str, ...]
    """Paths in the build that it is made of, sorted; one, unless it is a bundle or stored."""
    made_by: str = ""
    """Name of the rule of ``publish.build`` that makes it."""
    digest: Digest | None = None
    """What a stored asset is said to be."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What ships and what does not."""

    artifacts: tuple[Artifact, ...]
    """One entry per public file, sorted by key."""
    left_out: tuple[str, ...]
    """Paths in the build that never leave it as they are, sorted."""

    @property
    def databases(self) -> tuple[Artifact, ...]:
        """The zipped databases."""
        return tuple(each for each in self.artifacts if each.kind == "sqlite")

    @property
    def bundles(self) -> tuple[Artifact, ...]:
        """The stored bundles."""
        return tuple(each for each in self.artifacts if each.kind == "bundle")

    @property
    def built(self) -> tuple[Artifact, ...]:
        """What commands build."""
        return tuple(each for each in self.artifacts if each.kind == "built")

    @property
    def stored(self) -> tuple[Artifact, ...]:
        """What stands in storage already."""
        return tuple(each for each in self.artifacts if each.kind == "stored")

    @property
    def source_paths(self) -> tuple[str, ...]:
        """Paths in the build that ship, as they are or inside an archive; sorted."""
        return tuple(sorted({path for each in self.artifacts for path in each.members}))


def matches(pattern: str, path: str) -> bool:
    """Say whether a path fits one pattern, read as a line of .gitignore."""
    return _spec((pattern,)).match_file(path)


def matches_any(patterns: Sequence[str], path: str) -> bool:
    """Say whether a path fits a list of patterns, read together as a .gitignore file."""
    return bool(patterns) and _spec(tuple(patterns)).match_file(path)


def check_names(paths: Iterable[str]) -> None:
    """Refuse names that cannot ship safely.

    Raises:
        SourceError: ``..``, control characters, backslashes, names that are not Unicode,
            or two names that differ only in case or Unicode form.
    """
    seen: dict[str, str] = {}
    for path in paths:
        reason = fault_of_name(path)
        if reason:
            raise SourceError(
                f"source: expected names that can ship anywhere, got {path!r}: {reason}"
            )
        folded = _fold(path)
        if folded in seen and seen[folded] != path:
            raise SourceError(
                "source: expected names that differ in more than case,"
                f" got {seen[folded]!r} and {path!r}"
            )
        seen[folded] = path


def plan_layout(
    config: Config,
    files: Sequence[SourceFile],
    *,
    version: str = "",
    stored: "Sequence[StoredAsset]" = (),
) -> Layout:
    """Map a listing to the public files.

    Args:
        config: the configuration.
        files: the listing.
        version: the version whose files they are: what is built of them is kept by version.
        stored: assets of the version that stand in storage already.

    Raises:
        SourceError: a name that cannot ship (see ``check_names``).
        LayoutError: two files want one key, a key is kept for Lading's own files, a bundle
            has no data file, or not exactly one descriptor.
    """
    paths = sorted(each.path for each in files)
    check_names(paths)
    passing = journals_of(config, paths) | own_files(config)
    left_out = {path for path in paths if matches_any(config.layout.leave_out, path)}
    candidates = [path for path in paths if path not in passing | left_out]
    artifacts = [
        *_artifacts(config, candidates),
        *_built(config, [path for path in paths if path not in passing], version),
        *(Artifact(each.key, "stored", each.url, (), digest=each.digest) for each in stored),
    ]
    _check_keys(artifacts)
    shipped = {each.path for each in artifacts if each.kind == "file"}
    return Layout(
        artifacts=tuple(sorted(artifacts, key=lambda each: each.key)),
        left_out=tuple(path for path in paths if path not in shipped),
    )


def own_files(config: Config) -> set[str]:
    """Return the paths of what a build says of itself, which never ships."""
    publish = config.publish
    return {config.source.success_marker, publish.sums, publish.stored} - {""}


def journals_of(config: Config, paths: Iterable[str]) -> set[str]:
    """Return the paths of files that SQLite keeps beside a database of the build."""
    known = set(paths)
    databases = [path for path in known if matches_any(config.prepare.sqlite.match, path)]
    return {f"{path}{end}" for path in databases for end in JOURNALS} & known


def _artifacts(config: Config, paths: Sequence[str]) -> Iterator[Artifact]:
    hidden: set[str] = set()
    for path in paths:
        if matches_any(config.prepare.sqlite.match, path):
            archive = f"{path}.zip"
            yield Artifact(_key_of(config, archive), "sqlite", archive, (path,))
            if not config.prepare.sqlite.keep_original:
                hidden.add(path)
    for rule in config.prepare.bundles:
        for bundle in _bundles_of(config, rule, paths):
            yield bundle
            if not rule.keep_members:
                hidden.update(bundle.members)
    for path in paths:
        if path not in hidden:
            yield Artifact(_key_of(config, path), "file", path, (path,))


def _built(config: Config, paths: Sequence[str], version: str) -> Iterator[Artifact]:
    """Yield what commands are to make: nothing that the version brings itself."""
    known = set(paths)
    for rule in config.publish.build:
        for path in paths:
            if not matches_any(rule.of, path):
                continue
            made = _expand(rule.makes, path)
            if fault := fault_of_name(made):
                raise LayoutError(
                    f"publish.build {rule.name}: expected a path that can ship, got {made!r}"
                    f" from {path!r}: {fault}"
                )
            if made not in known:
                kept = "/".join(filter(None, (BUILT_FOLDER, version, made)))
                yield Artifact(_key_of(config, made), "built", kept, (path,), rule.name)


def _bundles_of(config: Config, rule: BundleRule, paths: Sequence[str]) -> Iterator[Artifact]:
    wanted = rule.folder.strip("/")
    folders = sorted({str(PurePosixPath(path).parent) for path in paths})
    fitting = [
        folder
        for folder in folders
        if fnmatchcase(folder, wanted) and folder.count("/") == wanted.count("/")
        # a star stands for a folder, not for the top of the build
        if folder != "." or wanted == "."
    ]
    if not fitting:
        raise LayoutError(
            f"prepare.bundles: expected a folder {wanted!r} with files in the build, found none"
        )
    for folder in fitting:
        inside = [path for path in paths if str(PurePosixPath(path).parent) == folder]
        archive = rule.name.replace("{folder}", PurePosixPath(folder).name) + ".zip"
        fault = "a name may not be empty" if archive == ".zip" else fault_of_name(archive)
        if fault:
            raise LayoutError(f"prepare.bundles: expected a file name, got {archive!r}: {fault}")
        members = _members_of(rule, folder, inside)
        yield Artifact(_key_of(config, archive), "bundle", archive, members)


def _members_of(rule: BundleRule, folder: str, inside: Sequence[str]) -> tuple[str, ...]:
    data = [path for path in inside if matches_any(rule.files, path)]
    if not data:
        raise LayoutError(
            f"prepare.bundles: expected files {', '.join(rule.files)} in {folder}, found none"
        )
    if not rule.descriptor:
        return tuple(sorted(data))
    found = [path for path in inside if fnmatchcase(PurePosixPath(path).name, rule.descriptor)]
    if len(found) != 1:
        raise LayoutError(
            f"prepare.bundles: expected exactly one {rule.descriptor} in {folder},"
            f" found {', '.join(found) or 'none'}"
        )
    return tuple(sorted({*data, *found}))


def _key_of(config: Config, path: str) -> str:
    for pattern, template in config.layout.keys.items():
        if matches(pattern, path):
            key = _expand(template, path)
            if fault := fault_of_name(key):
                raise LayoutError(
                    f"layout.keys: expected a key that can ship, got {key!r} from {path!r}: {fault}"
                )
            return key
    return path


def _expand(template: str, path: str) -> str:
    pure = PurePosixPath(path)
    folder = "" if str(pure.parent) == "." else str(pure.parent)
    parts = {"path": path, "name": pure.name, "stem": pure.stem, "folder": folder}
    return template.format(**parts).lstrip("/")


def _check_keys(artifacts: Sequence[Artifact]) -> None:
    owners: dict[str, Artifact] = {}
    reserved = {_fold(RELEASE_KEY), _fold(SUMS_KEY)}
    for artifact in artifacts:
        folded = _fold(artifact.key)
        if folded.partition("/")[0] in reserved:
            raise LayoutError(
                f"layout: expected keys other than {RELEASE_KEY} and {SUMS_KEY}, which Lading"
                f" writes, got {artifact.key!r} from {_origin_of(artifact)!r}"
            )
        if folded in owners:
            raise LayoutError(
                f"layout: expected one file for the key {artifact.key!r},"
                f" got {_origin_of(owners[folded])!r} and {_origin_of(artifact)!r}"
            )
        owners[folded] = artifact
    for folded, artifact in owners.items():
        for parent in PurePosixPath(folded).parents:
            if str(parent) in owners:
                above = owners[str(parent)]
                raise LayoutError(
                    f"layout: expected no key that is also a folder, got {above.key!r}"
                    f" from {_origin_of(above)!r} and {artifact.key!r} from"
                    f" {_origin_of(artifact)!r}"
                )


def _origin_of(artifact: Artifact) -> str:
    """Name what a person would look for in the build: the file, the database, the folder."""
    first = artifact.members[0] if artifact.members else artifact.path
    return str(PurePosixPath(first).parent) if artifact.kind == "bundle" else first


def fault_of_name(path: str) -> str:
    """Say why a path or key cannot ship, or ""."""
    segments = path.split("/")
    if ".." in segments or "." in segments or "" in segments:
        return "a name may not hold '..', '.' or nothing between slashes"
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in path):
        return "a name may not hold control characters or bytes that are not UTF-8"
    if "\\" in path:
        return "a name may not hold a backslash"
    return ""


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


@lru_cache(maxsize=256)
def _spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(patterns)
