"""Names of Jobs: equal work has equal names, so that creating a Job submits it once.

A name is a slug for people and a digest of what is run. The slug is cut where the name would be
too long for Kubernetes; the digest never is.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lading.k8s.json_data import canonical_json
from lading.k8s.names import Limit

KEY_SHOWN = 10
"""Hexadecimal digits of a key that stand in a name."""
_JOB, _HOST = 63, 62
_EMPTY = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWork:
    """What a Job does, as far as it makes it another one."""

    job: str
    """Name of the job."""
    identity: str | Sequence[str]
    """Key of the run's identity (job, identifying arguments, inputs), or its arguments."""
    plan: str = ""
    """Digest of the plan whose shards it runs; "" where it runs none."""
    image: str = ""
    """Digest of the image that it runs."""

    @property
    def key(self) -> str:
        """SHA-256 of all of it, 64 hexadecimal digits."""
        identity = self.identity if isinstance(self.identity, str) else list(self.identity)
        return hashlib.sha256(
            canonical_json([self.job, identity, self.plan, self.image])
        ).hexdigest()


def limit_of_job(completions: int | None) -> Limit:
    """Return how long the name of a Job may be.

    Args:
        completions: of an Indexed Job; None where it is a plain one.

    Source: Kubernetes, validation of batch/v1: the label ``job-name`` holds 63 characters, and
    ``{job}-{index}`` must be a DNS label, for a Job's controller and its last pod.
    """
    if completions is None:
        return Limit(length=_JOB, reason="Kubernetes: a Job's name is a label of its pods")
    digits = len(str(max(completions - 1, 0)))
    reason = f"Kubernetes: pods of an Indexed Job with {completions} completions"
    return Limit(length=_HOST - digits, reason=reason)


def name_job(work: JobWork, completions: int | None = None) -> str:
    """Return the name of a Job: ``{slug}-{10 digits of the key}``, a DNS label. Pure."""
    key = work.key[:KEY_SHOWN]
    room = limit_of_job(completions).length - len(key) - 1
    slug = re.sub(r"[^a-z0-9]+", "-", work.job.lower()).strip("-")
    return f"{slug[:room].rstrip('-') or _EMPTY}-{key}"
