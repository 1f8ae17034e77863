"""A release as its page and its report show it: files, where they are, how to prove them. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lading.ledger.model import ArtifactRow, ReleaseRow, Run
from lading.web.download import download_line, file_url, is_web_url, release_line

DOCUMENT = "release.json"
_MOST_PLACES = 8  # each file has an address in each of them


@dataclass(frozen=True, slots=True)
class FileView:
    """One public file."""

    file: ArtifactRow
    """The file."""
    places: tuple[tuple[str, str], ...]
    """Where it is: (destination and prefix, URL), in the order of the road."""
    line: str
    """Command that fetches and proves it; "" where no URL is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseView:
    """What is shown of a release."""

    release: ReleaseRow
    """The release."""
    run: Run | None
    """The run that published it; None where the ledger no longer has it."""
    title: str
    """What people call its project."""
    files: tuple[FileView, ...]
    """Its files, as many as are shown."""
    total: int
    """How many there are."""
    places: tuple[tuple[str, str], ...]
    """Where it stands: (destination and prefix, URL)."""
    line: str
    """Command that proves all that was fetched; "" where no URL is known."""
    citation: str
    """How it is cited."""


def view_release(
    release: ReleaseRow,
    run: Run | None,
    files: Sequence[ArtifactRow],
    *,
    title: str = "",
    limit: int,
) -> ReleaseView:
    """Make out of a release what is shown of it: at most ``limit`` files."""
    places = _places(release, run)
    return ReleaseView(
        release=release,
        run=run,
        title=title or release.project,
        files=tuple(_view(each, places) for each in files[:limit]),
        total=len(files),
        places=places,
        line=release_line(places[0][1]) if places else "",
        citation=cite(release, title),
    )


def cite(release: ReleaseRow, title: str) -> str:
    """Write how a release is cited, as DataCite recommends it without the creators.

    Source: DataCite Metadata Schema 4.6, "Citation": title, version, year, identifier.
    """
    where = f"https://doi.org/{release.doi}" if release.doi else _base_of(release.url)
    told = f"{title or release.project} ({release.published_at.year}). Version {release.tag}."
    return f"{told} {where}".strip()


def _view(file: ArtifactRow, places: Sequence[tuple[str, str]]) -> FileView:
    found = [(name, file_url(base, file.key)) for name, base in places]
    if is_web_url(file.url) and file.url not in {url for _, url in found}:
        found.insert(0, ("published", file.url))
    line = download_line(found[0][1], file.key, file.sha256) if found else ""
    return FileView(file, tuple(found), line)


def _places(release: ReleaseRow, run: Run | None) -> tuple[tuple[str, str], ...]:
    targets = run.targets if run is not None else ()
    found = [
        (f"{each.destination}/{each.name}".strip("/"), each.url)
        for each in targets
        if each.kind == "promote" and is_web_url(each.url)
    ]
    own = _base_of(release.url)
    if is_web_url(own) and own.rstrip("/") not in {url.rstrip("/") for _, url in found}:
        found.insert(0, ("published", own))
    return tuple(found[:_MOST_PLACES])


def _base_of(url: str) -> str:
    return re.sub(rf"{re.escape(DOCUMENT)}$", "", url)
