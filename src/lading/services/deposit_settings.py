"""What a channel wants of its deposits, resolved before anything is asked."""

from dataclasses import dataclass

from lading.services.deposit_marker import Marker


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositSettings:
    """What a channel wants of its deposits."""

    project: str
    """Name of the project."""
    channel: str
    """Name of the channel."""
    tag: str
    """The git tag; the version of the record."""
    manifest_sha256: str = ""
    """The sha256 of release.json; "" before it is made."""
    concept: str = ""
    """The concept, or any version of it; "": the one that Lading began, or a first record."""
    publish: bool = False
    """Whether it is published at once."""
    doi: bool = False
    """Whether a DOI is reserved before that."""
    expected_doi: str = ""
    """The DOI that release.json names; "" where it names none."""
    max_files: int = 100
    """Files that a record may have."""
    max_bytes: int = 50 * 10**9
    """Size that a record may have."""
    token_variable: str = "ZENODO_TOKEN"  # noqa: S105  the name of a variable
    """Where the token comes from, for messages."""

    @property
    def marker(self) -> Marker:
        """What the deposit bears, so that it is known as ours."""
        return Marker(
            project=self.project,
            channel=self.channel,
            tag=self.tag,
            manifest_sha256=self.manifest_sha256,
        )
