"""What a file is, for every comparison Lading makes: its size and its digests."""

import base64
import hashlib
from dataclasses import dataclass, field

import google_crc32c


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Size and digests of some bytes. An empty digest is one that is not known."""

    size_bytes: int
    """Number of bytes."""
    sha256: str = ""
    """Lower-case hex; the identity of a file in the depot."""
    crc32c: str = ""
    """Base64 of the big-endian value, as both clouds write it (RFC 9260, CRC32C)."""
    md5: str = ""
    """Lower-case hex; only of files that a Zenodo deposit carries."""
    crc32: str = field(default="", compare=False)
    """Lower-case hex; only of local files: the checksum that a zip entry carries."""

    def agrees_with(self, other: "Digest") -> bool:
        """Say whether two descriptions can be of the same bytes.

        Sizes must be equal, and each digest that both know; where they know none in
        common the answer is False: unknown is never taken for equal.
        """
        if self.size_bytes != other.size_bytes:
            return False
        pairs = [(self.sha256, other.sha256), (self.crc32c, other.crc32c)]
        known = [(mine, theirs) for mine, theirs in pairs if mine and theirs]
        return bool(known) and all(mine == theirs for mine, theirs in known)

    def describe(self, beside: "Digest | None" = None) -> str:
        """Name the strongest digest known, for a message; one that ``beside`` knows too."""
        if self.sha256 and (beside is None or beside.sha256 or not beside.crc32c):
            return f"sha256 {self.sha256} ({self.size_bytes} bytes)"
        return f"crc32c {self.crc32c or 'unknown'} ({self.size_bytes} bytes)"


def encode_crc32c(value: int) -> str:
    """Encode a CRC32C as both clouds write it: base64 of four big-endian bytes."""
    return base64.b64encode(value.to_bytes(4, "big")).decode("ascii")


def digest_bytes(data: bytes) -> Digest:
    """Digest a document that is held in memory."""
    return Digest(
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        crc32c=encode_crc32c(google_crc32c.value(data)),
    )
