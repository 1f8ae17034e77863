"""What identifies a run: job, identifying arguments, inputs. Equal identities are equal work."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lading.jobs.canonical import digest_json
from lading.jobs.refs import ObjectRef

_KEY_DIGITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Which work a run does, whoever does it and how often it is tried."""

    job: str
    """Name of the job."""
    key: str
    """32 hexadecimal digits: the digest of all below."""
    arguments: Mapping[str, Any]
    """The identifying arguments, as JSON takes them."""
    fingerprint: str
    """SHA-256 of the inputs, 64 hexadecimal digits; "" where the job does not list them."""
    believes_done: bool
    """Whether a run that is done need not be done again. False where the job does not say what
    identifies its runs: then the marker only keeps two from running at once."""


def identify(
    job: str, arguments: Mapping[str, Any], inputs: Iterable[ObjectRef] | None, *, repeats: bool
) -> RunIdentity:
    """Make the identity of a run. Pure; the order of arguments and inputs does not count.

    An input counts with its place, its size and the strongest that is known of its bytes: sha256,
    else crc32c, else version.

    Args:
        job: name of the job.
        arguments: the identifying arguments, as JSON takes them.
        inputs: what it will read; None where the job does not list them.
        repeats: whether each call is to run, whatever was done before.

    Raises:
        TypeError, ValueError: an argument is nothing that JSON takes.
    """
    fingerprint = (
        "" if inputs is None else digest_json(sorted({_describe(each) for each in inputs}))
    )
    work = {"job": job, "arguments": dict(arguments), "fingerprint": fingerprint}
    return RunIdentity(
        job=job,
        key=digest_json(work)[:_KEY_DIGITS],
        arguments=dict(arguments),
        fingerprint=fingerprint,
        believes_done=not repeats,
    )


def _describe(ref: ObjectRef) -> tuple[str, str, int, str, str]:
    for kind in ("sha256", "crc32c", "version"):
        if value := getattr(ref, kind):
            return ref.store_url, ref.key, ref.size_bytes, kind, value
    return ref.store_url, ref.key, ref.size_bytes, "", ""
