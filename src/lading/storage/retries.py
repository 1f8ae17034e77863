"""What is asked again is noted, for the log of the run: only its end is told to people."""

import logging

from stamina.instrumentation import RetryDetails

_LOG = logging.getLogger(__name__)


def note_retry(details: RetryDetails) -> None:
    """Log that something is tried again; a hook of stamina's."""
    _LOG.warning(
        "tried again in %.1f s, for the %d. time: %s: %s",
        details.wait_for,
        details.retry_num,
        type(details.caused_by).__name__,
        details.caused_by,
    )
