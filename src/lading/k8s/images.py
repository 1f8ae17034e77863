"""Names of images: which one a rollout runs, and whether it will stay the same."""

import re
from dataclasses import dataclass

from lading.errors import UsageError

_HOST = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
_PART = r"[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*"
# github.com/distribution/reference, reference.go: domain / path components
_REPOSITORY = re.compile(rf"({_HOST}/)?{_PART}(/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The name of an image, in its parts."""

    repository: str
    """Registry and path, e.g. ``registry.example:5000/team/updates``."""
    tag: str = ""
    """Tag; "" where a digest alone names it."""
    digest: str = ""
    """Digest, as ``sha256:...``; "" where there is none."""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


def parse_image(text: str) -> Image:
    """Take the name of an image apart.

    Raises:
        UsageError: it is none, or does not say which image: it needs a tag or a digest, and
            ``latest`` is another one tomorrow.
    """
    name, has_digest, digest = text.partition("@")
    # a colon before the last slash is a port's
    folder, slash, last = name.rpartition("/")
    last, has_tag, tag = last.partition(":")
    repository = f"{folder}{slash}{last}"
    is_well_formed = (
        _REPOSITORY.fullmatch(repository)
        and len(repository) <= _LONGEST
        and (not has_tag or _TAG.fullmatch(tag))
        and (has_tag or has_digest)
    )
    if not is_well_formed:
        raise _expected("repository:commit or repository@sha256:..., in small letters", text)
    if has_digest and not _DIGEST.fullmatch(digest):
        raise _expected("a digest of sha256: and 64 hexadecimal digits", text)
    if tag == "latest" and not digest:
        raise _expected("repository:commit or repository@sha256:..., since 'latest' moves", text)
    return Image(repository=repository, tag=tag, digest=digest)


def check_image(image: Image, repository: str, commit: str) -> tuple[list[str], list[str]]:
    """Compare an image with the configuration and with what is deployed. Pure.

    Args:
        image: the image.
        repository: the repository that the configuration names; "" where it names none.
        commit: commit of the manifests, in full; "" where it is not known.

    Returns:
        Faults, and warnings.
    """
    faults, warnings = [], []
    if repository and image.repository != repository:
        faults.append(f"image: expected one of {repository}, got {image}")
    if _COMMIT.fullmatch(image.tag):
        if commit and image.tag != commit:
            warnings.append(f"image: the manifests are of {commit}, the image of {image.tag}")
    elif not image.digest:
        warnings.append(
            f"image: expected a commit as tag, or a digest, got {image.tag!r}, which may move"
        )
    return faults, warnings


def _expected(what: str, text: str) -> UsageError:
    # what stands before an @ that begins no digest may be a password
    before, _, after = text.rpartition("@")
    shown = f"***@{after}" if before and not after.startswith("sha") else text
    return UsageError(f"image: expected {what}, got {shown!r}")
