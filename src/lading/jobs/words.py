"""Arguments as one text: split and joined as a shell would, without asking one."""

import shlex
from collections.abc import Sequence

from lading.errors import MisconfiguredError
from lading.services.redaction import redact


def split_words(text: str) -> tuple[str, ...]:
    """Split a text into words, as ``args="..."`` gives them.

    Raises:
        MisconfiguredError: a quotation that does not end.
    """
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise MisconfiguredError(
            f"arguments: expected words, got {redact(text)!r} ({error})"
        ) from error


def name_run(argv: Sequence[str]) -> str:
    """Name a whole run among dead letters: by its arguments, unlike the items of a job. Pure."""
    return f"run {shlex.join(argv)}"
