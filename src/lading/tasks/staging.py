"""Rollouts as steps: validate, render, try the whole set on the server, apply, read back.

Nothing is applied before all that can be known without a change has been found right.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.text import Text

from lading.config.dataset_rules import find_dataset
from lading.errors import GateError, Interrupted, LadingError
from lading.k8s.apply import RolloutChanges, RolloutTarget
from lading.k8s.identity import Identity
from lading.k8s.receipts import RolloutReceipt, render_rollout_receipt
from lading.k8s.render import file_names, sync_folder
from lading.k8s.rollout import CronJob, Rollout
from lading.k8s.schedule import describe_rate, fires_per_day, next_fires, parse_schedule
from lading.release.receipts import now_utc
from lading.services.kubectl import Kubectl
from lading.services.sentry import SentryMonitors
from lading.storage import Progress
from lading.storage.bytes import write_atomically
from lading.tasks.datasets import (
    asked_version,
    is_in_main,
    kubernetes_of,
    need_version,
    receipts_folder,
)
from lading.tasks.display import make_console
from lading.tasks.rollouts import build_registry, build_staged, find_source, open_source
from lading.tasks.session import Session
from lading.tasks.steps import Outcome
from lading.tasks.wording import count

_FIRES = 3
_MANY = 8


def check(session: Session, progress: Progress) -> Outcome:
    """Validate all datasets, and the version that is to be staged; ask no cluster.

    Raises:
        GateError: with a line a fault.
    """
    del progress
    asked, source = asked_version(session), open_source(session)
    rollouts, warnings = build_registry(session, source)
    console = make_console(sys.stdout)
    if asked:
        staged, more = build_staged(session, asked, source)
        warnings = [*more, *source.warnings]
        rollouts = [staged]
    now = now_utc()
    for rollout in rollouts:
        console.print(Text(rollout.identity.title, style="bold"), soft_wrap=True)
        for each in rollout.cron_jobs:
            told = _describe_schedule(each, now, _FIRES if asked else 1)
            console.print(Text(f"  {each.name}\n    {told}"), soft_wrap=True)
    for warning in warnings:
        console.print(Text(f"warns: {warning}", style="yellow"), soft_wrap=True)
    names = sum(len(each.cron_jobs) for each in rollouts)
    console.print(f"{count(names, 'CronJob')} of {count(len(rollouts), 'release')}: no faults")
    return Outcome("", changed=False)


def render(session: Session, progress: Progress) -> Outcome:
    """Write the manifests as files, production's and those of a version that is asked for.

    Effects: files below the folder for rendered manifests.

    Raises:
        GateError: with a line a fault; no file was changed.
    """
    del progress
    kubernetes, asked, source = (
        kubernetes_of(session),
        asked_version(session),
        open_source(session),
    )
    rollouts, warnings = build_registry(session, source)
    if asked:
        staged, more = build_staged(session, asked, source)
        rollouts, warnings = [*rollouts, staged], [*warnings, *more]
    folder = session.base / kubernetes.rendered if kubernetes.rendered else _rendered(session)
    files = file_names(rollouts)
    synced = sync_folder(folder, files)
    strangers = [
        f"{_relative(folder / each)} was not rendered here; left" for each in synced.strangers
    ]
    return Outcome(
        f"{count(len(files), 'manifest')} in {_relative(folder)}:"
        f" {len(synced.written)} written, {len(synced.removed)} removed",
        changed=bool(synced.written or synced.removed),
        warnings=tuple(dict.fromkeys([*warnings, *source.warnings, *strangers])),
    )


def stage(session: Session, progress: Progress) -> Outcome:
    """Roll out a version of a dataset beside production.

    Effects: CronJobs in the cluster, monitors' schedules, a receipt.

    Raises:
        GateError: with a line a fault; nothing was applied.
        LadingError: as the cluster, git and the manifests do.
    """
    asked = need_version(session)
    find_dataset(session.config, asked.dataset)
    source = find_source(session)
    build_registry(session, source)
    rollout, warnings = build_staged(session, asked, source)
    return _roll_out(session, [rollout], [*warnings, *source.warnings], progress)


def deploy(session: Session, progress: Progress) -> Outcome:
    """Roll out production, of all datasets or one.

    Effects: CronJobs in the cluster, monitors' schedules, receipts.

    Raises:
        GateError: with a line a fault; nothing was applied.
        LadingError: as the cluster, git and the manifests do.
    """
    kubernetes, source = kubernetes_of(session), find_source(session)
    if not is_in_main(session, source.commit):
        raise GateError(
            f"{session.repository}: expected a commit of {kubernetes.main}, which production is"
            f" deployed from, found {source.commit}; merge it first, or `git fetch`"
        )
    rollouts, warnings = build_registry(session, source)
    if name := session.variables.dataset:
        rollouts = [each for each in rollouts if each.identity.dataset == name]
    if faults := list(_other_versions(session.variables.version, rollouts)):
        raise GateError("\n".join(faults))
    return _roll_out(session, rollouts, [*warnings, *source.warnings], progress)


def open_cluster(session: Session, context: str, namespace: str, *, read_only: bool) -> Kubectl:
    """Return one namespace of one cluster.

    Raises:
        CommandError: kubectl is missing.
        ClusterError: it does not know the context.
    """
    cluster = Kubectl(context, namespace, session.base, read_only=read_only)
    cluster.require_context()
    return cluster


def open_monitors(
    session: Session, progress: Progress, *, read_only: bool = False
) -> SentryMonitors | None:
    """Return the monitors; None where there is no Sentry or no token for it."""
    sentry = kubernetes_of(session).sentry
    token = os.environ.get(sentry.token_variable, "") if sentry else ""
    if sentry is None or not token:
        return None
    return SentryMonitors(
        sentry.organization,
        sentry.url,
        token,
        token_variable=sentry.token_variable,
        read_only=read_only,
        progress=progress,
    )


def receipt_path(session: Session, identity: Identity, context: str, namespace: str) -> Path:
    """Return where the receipt of a rollout is kept."""
    place = f"{context}-{namespace}".replace("/", "_").replace(":", "_")
    return receipts_folder(session) / place / identity.environment / f"{identity.release}.json"


def _roll_out(
    session: Session, rollouts: Sequence[Rollout], warnings: Sequence[str], progress: Progress
) -> Outcome:
    """Bring every namespace to what is wanted: all are tried before any is changed."""
    watched: list[str] = []
    targets = [
        (
            place,
            RolloutTarget(
                open_cluster(session, *place, read_only=False),
                group,
                take=_takes(session),
                unwatch=lambda slug: watched.append(_end_monitor(session, slug, progress)),
            ),
        )
        for place, group in _by_place(rollouts).items()
    ]
    planned = [(place, target, target.plan(target.observe())) for place, target in targets]
    receipts: list[RolloutReceipt] = []
    for _, target, changes in planned:
        if not changes.is_empty:
            target.apply(changes, progress)
        receipts += target.prove()
    for receipt in receipts:
        path = receipt_path(session, receipt.identity, receipt.context, receipt.namespace)
        write_atomically(path, render_rollout_receipt(receipt))
    watched += _update_monitors(session, rollouts, progress)
    all_changes = [each for _, _, each in planned]
    done = "; ".join(f"{each.describe()} in {target.place}" for _, target, each in planned)
    return Outcome(
        done,
        changed=any(not each.is_empty for each in all_changes),
        warnings=(*warnings, *(note for each in all_changes for note in each.notes)),
        notes=(*_tell_changed(rollouts, receipts, all_changes), *watched),
    )


def _update_monitors(
    session: Session, rollouts: Sequence[Rollout], progress: Progress
) -> Iterator[str]:
    """Give monitors that stand the schedules of their CronJobs. Best effort: a job says it too."""
    monitors = open_monitors(session, progress)
    if monitors is None:
        return
    for rollout in rollouts:
        for each in rollout.cron_jobs:
            if not each.monitor:
                continue
            try:
                done = monitors.set_schedule(each.monitor, each.schedule, each.time_zone)
            except Interrupted:
                raise
            except LadingError as error:
                yield f"monitor {each.monitor}: its schedule could not be set: {error}"
                return
            if done == "changed":
                yield f"monitor {each.monitor}: schedule {each.schedule}"


def _end_monitor(session: Session, slug: str, progress: Progress) -> str:
    """Delete a monitor that watches nothing any more. Best effort: what is left is told."""
    monitors = open_monitors(session, progress)
    if monitors is None:
        return f"monitor {slug}: left, since there is no token for it"
    try:
        return f"monitor {slug}: {monitors.delete(slug)}"
    except Interrupted:
        raise
    except LadingError as error:
        return f"monitor {slug}: left: {error}"


def _tell_changed(
    rollouts: Sequence[Rollout],
    receipts: Sequence[RolloutReceipt],
    changes: Sequence[RolloutChanges],
) -> Iterator[str]:
    """Yield when what was changed fires; of very many, how to see it."""
    names = {name for each in changes for name in (*each.new, *each.changed, *each.resumed)}
    if len(names) > _MANY:
        yield f"{count(len(names), 'CronJob')} changed: `doit k8s_status` shows when each fires"
        return
    proved = {name: row for each in receipts for name, row in each.cron_jobs.items()}
    for each in (job for rollout in rollouts for job in rollout.cron_jobs if job.name in names):
        asleep = "" if proved[each.name].next_fires else " (suspended)"
        yield f"{each.name}{asleep}"
        yield f"  {_describe_schedule(each, now_utc(), _FIRES)}"


def _other_versions(asked: str, rollouts: Sequence[Rollout]) -> Iterator[str]:
    """Yield a line for each dataset whose version is not the one that was asked for, if any was."""
    for each in rollouts:
        if asked and each.identity.version != asked:
            yield (
                f"version: expected {each.identity.version}, as the repository says of"
                f" {each.identity.dataset}, got {asked!r}"
            )


def _by_place(rollouts: Iterable[Rollout]) -> Mapping[tuple[str, str], list[Rollout]]:
    found: dict[tuple[str, str], list[Rollout]] = {}
    for each in rollouts:
        found.setdefault((each.context, each.namespace), []).append(each)
    return found


def _takes(session: Session) -> bool:
    return session.variables.take


def _describe_schedule(cron_job: CronJob, now: datetime, fires: int) -> str:
    """Say when it fires; its name stands elsewhere, since that may have 52 characters."""
    schedule = parse_schedule(cron_job.schedule, cron_job.time_zone)
    coming = [f"{fire:%Y-%m-%d %H:%M}" for fire in next_fires(schedule, now, fires)]
    zone = "" if cron_job.time_zone == "Etc/UTC" else f" {cron_job.time_zone}"
    rate = describe_rate(fires_per_day(schedule, now))
    return f"{cron_job.schedule}{zone}: {rate}, next {', '.join(coming) or 'never'} UTC"


def _rendered(session: Session) -> Path:
    return session.work / "k8s" / "rendered"


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
