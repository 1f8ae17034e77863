"""What a job answers once it is completed: where its release is read, and how much it is."""

from typing import Any

from lading.ledger.documents import write_moment
from lading.ledger.ledger import Ledger
from lading.ledger.model import ReleaseRow, Run
from lading.ledger.read import list_releases

_LOOKED_AT = 200


def load_result(ledger: Ledger, run: Run) -> dict[str, Any]:
    """Return the result of a job that has published; empty where nobody recorded any.

    ``release_url``, ``asset_count`` and ``published_at``, a time that ends in ``Z``.

    Raises:
        LedgerError: the database does not answer.
    """
    standing = list_releases(
        ledger, run.project, channel=run.environment, environment=run.environment, limit=_LOOKED_AT
    )
    found = [each for each in standing if each.tag == run.tag]
    return _result(found[0]) if found else {}


def _result(release: ReleaseRow) -> dict[str, Any]:
    return {
        "release_url": release.url,
        "asset_count": release.files,
        "published_at": write_moment(release.published_at),
    }
