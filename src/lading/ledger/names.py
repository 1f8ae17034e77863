"""Names of runs, and where a project's ledger stands. Pure."""

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from lading.config.ledger import Ledger

FILE_NAME = "ledger.db"
RUN_VARIABLE = "LADING_RUN"
"""Variable that names the run that a process is to write to, where somebody asked for it."""
_RUN_NAME = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{10}")


def name_run(at: datetime | None = None) -> str:
    """Name a new run: ``20261121T203000-5f3a09c1de``. Names sort as the runs began."""
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(5)}"


def is_run_name(text: str) -> bool:
    """Say whether a text can be the name of a run."""
    return bool(_RUN_NAME.fullmatch(text))


def ledger_url(settings: Ledger, work: Path, environment: Mapping[str, str]) -> str:
    """Return the URL of the ledger, as SQLAlchemy takes it.

    The variable that the configuration names comes first, then ``ledger.url``, then a file
    beside the build.

    Args:
        settings: ``[ledger]`` of the configuration.
        work: folder of everything that Lading makes on this machine.
        environment: variables of this process.
    """
    url = environment.get(settings.url_variable, "") or settings.url
    if not url:
        return f"sqlite:///{work.absolute() / FILE_NAME}"
    # PostgreSQL's own names for itself; which driver it is reached by is ours to say
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
