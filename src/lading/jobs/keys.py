"""Where jobs keep what they remember, in whatever store they write to."""

import hashlib

ROOT = ".lading/jobs/"
"""What all keys of jobs begin with."""
PLANS = ".lading/plans/"
"""What all keys of plans begin with."""


def marker_key(job: str, identity: str) -> str:
    """Return the key of the marker of a run's identity."""
    return f"{ROOT}{job}/runs/{identity}.json"


def listing_key(sha256: str) -> str:
    """Return the key of a list of objects, named after its own digest."""
    return f"{ROOT}listings/{sha256}.jsonl"


def dead_letters_prefix(job: str) -> str:
    """Return what the keys of a job's dead letters begin with."""
    return f"{ROOT}{job}/dead/"


def audit_prefix(stream: str) -> str:
    """Return what the keys of a stream of the audit trail begin with."""
    return f".lading/audit/{stream}/"


def plan_key(plan: str) -> str:
    """Return the key of a plan, named after its digest."""
    return f"{PLANS}{plan}/plan.json"


def result_key(plan: str, item: str) -> str:
    """Return the key of what became of an item of a plan."""
    digest = hashlib.sha256(item.encode()).hexdigest()[:32]
    return f"{PLANS}{plan}/items/{digest}.json"


def state_prefix(job: str) -> str:
    """Return what the keys of all else that a job remembers begin with."""
    return f"{ROOT}{job}/state/"


def submitted_key(job: str, work: str) -> str:
    """Return the key of which Job of Kubernetes was submitted last for some work."""
    digest = hashlib.sha256(work.encode()).hexdigest()[:32]
    return f"{ROOT}{job}/submitted/{digest}.json"
