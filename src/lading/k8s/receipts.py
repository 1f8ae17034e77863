"""Receipts of rollouts: what was read back of a release's CronJobs. A cache, as all receipts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lading.k8s.cluster import JsonObject
from lading.k8s.identity import Identity
from lading.k8s.json_data import canonical_json
from lading.k8s.live import LiveCronJob
from lading.k8s.rollout import Rollout
from lading.k8s.schedule import next_fires, parse_schedule

_FIRES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedCronJob:
    """One CronJob as it was read back."""

    role: str
    """Its role."""
    uid: str
    """Its identifier in the cluster."""
    spec_sha256: str
    """Digest of the spec that was applied."""
    live_sha256: str
    """Digest of the spec that stood there, with the server's defaults, without ``suspend``."""
    schedule: str
    """Its schedule."""
    time_zone: str
    """Time zone of the schedule."""
    monitor: str
    """Slug of its monitor, or ""."""
    next_fires: tuple[str, ...]
    """When it was to fire next, in UTC; none while it is suspended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutReceipt:
    """What was read back of one release."""

    identity: Identity
    """Who it is."""
    context: str
    """kubectl's context."""
    namespace: str
    """Namespace."""
    proved_at: datetime
    """When it was read back; aware, UTC."""
    cron_jobs: Mapping[str, ProvedCronJob]
    """By name, sorted."""


def receipt_of(
    rollout: Rollout, live: Mapping[str, LiveCronJob], *, proved_at: datetime
) -> RolloutReceipt:
    """Return the receipt of a release that stands.

    Args:
        rollout: what was applied.
        live: by name, what was read back; holds all of it.
        proved_at: when; aware.
    """
    return RolloutReceipt(
        identity=rollout.identity,
        context=rollout.context,
        namespace=rollout.namespace,
        proved_at=proved_at,
        cron_jobs={
            each.name: ProvedCronJob(
                role=each.role,
                uid=live[each.name].uid,
                spec_sha256=each.spec_sha256,
                live_sha256=live_sha256(live[each.name].body),
                schedule=each.schedule,
                time_zone=each.time_zone,
                monitor=each.monitor,
                next_fires=_fires(live[each.name], proved_at),
            )
            for each in rollout.cron_jobs
        },
    )


def live_sha256(body: JsonObject) -> str:
    """Return the digest of a spec as it stands in the cluster, without ``suspend``."""
    spec = {name: value for name, value in body.get("spec", {}).items() if name != "suspend"}
    return hashlib.sha256(canonical_json(spec)).hexdigest()


def render_rollout_receipt(receipt: RolloutReceipt) -> bytes:
    """Render a receipt as JSON."""
    table = {
        "schema_version": 1,
        "task": "k8s_staging" if receipt.identity.environment == "staging" else "k8s_deploy",
        "place": f"{receipt.context}/{receipt.namespace}",
        "context": receipt.context,
        "namespace": receipt.namespace,
        **asdict(receipt.identity),
        "release": receipt.identity.release,
        "proved_at": receipt.proved_at.isoformat(),
        "cron_jobs": {name: asdict(each) for name, each in sorted(receipt.cron_jobs.items())},
    }
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()


def load_rollout_receipt(path: Path) -> RolloutReceipt | None:
    """Load a receipt, or None where there is none that can be read."""
    try:
        table = json.loads(path.read_bytes())
        return RolloutReceipt(
            identity=Identity(
                **{name: table[name] for name in Identity.__slots__ if name != "stores"},
                stores=tuple(table["stores"]),
            ),
            context=table["context"],
            namespace=table["namespace"],
            proved_at=datetime.fromisoformat(table["proved_at"]),
            cron_jobs={name: _proved(row) for name, row in table["cron_jobs"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _proved(row: Mapping[str, Any]) -> ProvedCronJob:
    return ProvedCronJob(**{**row, "next_fires": tuple(row["next_fires"])})


def _fires(live: LiveCronJob, after: datetime) -> tuple[str, ...]:
    if live.suspended:
        return ()
    schedule = parse_schedule(live.schedule, live.time_zone or "Etc/UTC")
    return tuple(each.isoformat() for each in next_fires(schedule, after, _FIRES))
