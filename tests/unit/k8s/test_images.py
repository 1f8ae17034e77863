"""Names of images."""

import pytest

from lading.errors import UsageError
from lading.k8s.images import Image, check_image, parse_image

SHA = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
DIGEST = "sha256:" + "0a" * 32
HOST = "registry.example:5000/team/updates"


@pytest.mark.parametrize(
    ("text", "repository", "tag", "digest"),
    [
        (f"{HOST}:{SHA}", HOST, SHA, ""),
        (f"{HOST}@{DIGEST}", HOST, "", DIGEST),
        (f"{HOST}:{SHA}@{DIGEST}", HOST, SHA, DIGEST),
        ("updates:v1", "updates", "v1", ""),
        ("localhost:5000/x:a", "localhost:5000/x", "a", ""),
        ("a/b__c/d--e.f:Tag_1.2-3", "a/b__c/d--e.f", "Tag_1.2-3", ""),
        (f"x:latest@{DIGEST}", "x", "latest", DIGEST),
        (f"x@sha512:{'0' * 128}", "x", "", f"sha512:{'0' * 128}"),
    ],
)
def test_parse(text: str, repository: str, tag: str, digest: str) -> None:
    """Repository, tag and digest are told apart, a port is no tag, and nothing is lost."""
    found = parse_image(text)
    assert found == Image(repository=repository, tag=tag, digest=digest)
    assert str(found) == text


_FORM = "image: expected repository:commit or repository@sha256:..., "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", f"{_FORM}in small letters, got 'x'"),
        ("", f"{_FORM}in small letters, got ''"),
        ("localhost:5000/x", f"{_FORM}in small letters, got 'localhost:5000/x'"),
        ("Team/x:1", f"{_FORM}in small letters, got 'Team/x:1'"),
        ("x:1\n", f"{_FORM}in small letters, got 'x:1\\n'"),
        ("x\x1b[2J:1", f"{_FORM}in small letters, got 'x\\x1b[2J:1'"),
        ("-x:1", f"{_FORM}in small letters, got '-x:1'"),
        ("x:", f"{_FORM}in small letters, got 'x:'"),
        ("x:-1", f"{_FORM}in small letters, got 'x:-1'"),
        (f"x:{'a' * 129}", f"{_FORM}in small letters, got 'x:aaa"),
        (f"{'a' * 256}:1", f"{_FORM}in small letters, got 'aaa"),
        ("a//b:1", f"{_FORM}in small letters, got 'a//b:1'"),
        ("https://host/x:1", f"{_FORM}in small letters, got 'https://host/x:1'"),
        ("x:é", f"{_FORM}in small letters, got 'x:é'"),
        ("x:latest", f"{_FORM}since 'latest' moves, got 'x:latest'"),
        (
            "x@sha256:abc",
            "image: expected a digest of sha256: and 64 hexadecimal digits, got 'x@sh",
        ),
        (f"x@{DIGEST.upper()}", "image: expected a digest of sha256: and 64 hexadecimal digits"),
        ("x@", "image: expected a digest of sha256: and 64 hexadecimal digits, got '***@'"),
    ],
)
def test_faults(text: str, expected: str) -> None:
    """What does not say which image, or moves, is refused in one line."""
    with pytest.raises(UsageError) as caught:
        parse_image(text)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_passwords_are_not_shown() -> None:
    """What stands before the @ of a registry is not repeated."""
    with pytest.raises(UsageError) as caught:
        parse_image("user:secret@host/x:1")
    assert "secret" not in str(caught.value)
    assert "'***@host/x:1'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "faults", "warnings"),
    [
        (f"{HOST}:{SHA}", [], []),
        (f"{HOST}@{DIGEST}", [], []),
        (f"{HOST}:v1@{DIGEST}", [], []),
        (f"{HOST}:{OTHER}", [], [f"image: the manifests are of {SHA}, the image of {OTHER}"]),
        (
            f"{HOST}:{OTHER}@{DIGEST}",
            [],
            [f"image: the manifests are of {SHA}, the image of {OTHER}"],
        ),
        (
            f"{HOST}:v1",
            [],
            ["image: expected a commit as tag, or a digest, got 'v1', which may move"],
        ),
        (
            f"{HOST}:{SHA[:7]}",
            [],
            ["image: expected a commit as tag, or a digest, got '0123456', which may move"],
        ),
        (f"other:{SHA}", [f"image: expected one of {HOST}, got other:{SHA}"], []),
        (f"{HOST}x:{SHA}", [f"image: expected one of {HOST}, got {HOST}x:{SHA}"], []),
    ],
)
def test_check(text: str, faults: list[str], warnings: list[str]) -> None:
    """Another repository is a fault; another commit, or a tag that may move, a warning."""
    assert check_image(parse_image(text), HOST, SHA) == (faults, warnings)


def test_check_of_what_is_not_known() -> None:
    """No repository of the configuration and no commit: nothing to compare with."""
    assert check_image(parse_image(f"x:{SHA}"), "", "") == ([], [])
