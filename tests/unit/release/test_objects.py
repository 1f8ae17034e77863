"""Tests of what a file is, for every comparison."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.release.objects import Digest, digest_bytes, encode_crc32c

FULL = digest_bytes(b"abc")
OTHER = digest_bytes(b"xyz")
CONTENTS = st.sampled_from([b"", b"a", b"b", b"ab"])


@st.composite
def digests(draw: st.DrawFn) -> Digest:
    """Draw what some listing may know of a few contents."""
    digest = digest_bytes(draw(CONTENTS))
    return replace(
        digest,
        sha256=draw(st.sampled_from(["", digest.sha256])),
        crc32c=draw(st.sampled_from(["", digest.crc32c])),
        md5=draw(st.sampled_from(["", "0" * 32])),
    )


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "AAAAAA=="), (1, "AAAAAQ=="), (0xE3069283, "4waSgw==")]
)
def test_encode_crc32c(value: int, expected: str) -> None:
    """A CRC32C is written as base64 of its four bytes, the highest first."""
    assert expected == encode_crc32c(value)


def test_digest_bytes() -> None:
    """The digests are those of the published check values."""
    expected = Digest(
        size_bytes=9,
        sha256="15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        crc32c="4waSgw==",
    )
    assert expected == digest_bytes(b"123456789")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (FULL, True),
        (replace(FULL, sha256=""), True),
        (replace(FULL, crc32c=""), True),
        (replace(FULL, md5="0" * 32), True),
        (OTHER, False),
        (replace(FULL, size_bytes=4), False),
        (replace(FULL, sha256=OTHER.sha256), False),
        (replace(FULL, crc32c=OTHER.crc32c), False),
        (replace(FULL, sha256="", crc32c=OTHER.crc32c), False),
        (Digest(size_bytes=3), False),
        (Digest(size_bytes=3, md5=hashlib.md5(b"abc").hexdigest()), False),
    ],
)
def test_agrees_with(other: Digest, *, expected: bool) -> None:
    """Two agree in size and in every digest that both know, of which there must be one."""
    assert expected == FULL.agrees_with(other)


def test_nothing_in_common() -> None:
    """Two of which each knows what the other does not are never taken for equal."""
    assert not replace(FULL, crc32c="").agrees_with(replace(FULL, sha256=""))


def test_unknown_does_not_agree_with_itself() -> None:
    """A description without a digest agrees with nothing, not even with itself."""
    unknown = Digest(size_bytes=3)
    assert not unknown.agrees_with(unknown)


@given(one=digests(), other=digests())
def test_symmetric(one: Digest, other: Digest) -> None:
    """It does not matter which of two is asked."""
    assert one.agrees_with(other) == other.agrees_with(one)


@given(content=CONTENTS, other=digests())
def test_only_equal_bytes_agree(content: bytes, other: Digest) -> None:
    """What agrees with a full description is of the same bytes."""
    full = digest_bytes(content)
    if full.agrees_with(other):
        assert full.size_bytes == other.size_bytes
        assert other.sha256 in {"", full.sha256}
        assert other.crc32c in {"", full.crc32c}
        assert other.sha256 or other.crc32c


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        (FULL, f"sha256 {FULL.sha256} (3 bytes)"),
        (replace(FULL, sha256=""), f"crc32c {FULL.crc32c} (3 bytes)"),
        (Digest(size_bytes=3), "crc32c unknown (3 bytes)"),
    ],
)
def test_describe(digest: Digest, expected: str) -> None:
    """A message names the strongest digest that is known."""
    assert expected == digest.describe()
