"""``k8s_status`` and ``k8s_cleanup``: how staged versions stand, and their end."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lading.config.dataset_rules import find_dataset, plan_datasets
from lading.errors import CommandError, UsageError, VerifyError
from lading.k8s.cleanup import Cleanup
from lading.k8s.identity import Identity
from lading.k8s.live import LiveCronJob, read_live
from lading.k8s.receipts import RolloutReceipt, load_rollout_receipt
from lading.k8s.status import CronJobStatus, ReleaseStatus, describe_releases, to_json
from lading.release.receipts import now_utc
from lading.services.git_remote import GitRemote
from lading.services.staging_branch import StagingBranch
from lading.storage import Progress
from lading.tasks.datasets import Asked, kubernetes_of, meant_dataset, need_version, receipts_folder
from lading.tasks.display import make_console
from lading.tasks.session import Session
from lading.tasks.staging import open_cluster, open_monitors, receipt_path
from lading.tasks.steps import Outcome
from lading.tasks.wording import count

_SCHEMA_VERSION = 1


def status(session: Session, progress: Progress) -> Outcome:
    """Show how all releases stand, or those of one dataset: as a table, or as JSON.

    Raises:
        VerifyError: something is missing, or is not as it was rolled out.
        LadingError: as the cluster does.
    """
    del progress
    console = make_console(sys.stdout)
    statuses, warnings = _statuses(session)
    if session.variables.json:
        table = {"schema_version": _SCHEMA_VERSION, "releases": to_json(statuses)}
        sys.stdout.write(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    else:
        for each in statuses:
            _print_release(console, each)
        for warning in warnings:
            console.print(Text(f"warns: {warning}", style="yellow"), soft_wrap=True)
        if not statuses:
            console.print("no CronJob of Lading's stands there")
    faults = sum(len(each.faults) for each in statuses)
    if faults:
        raise VerifyError(
            f"expected every CronJob as it was rolled out, found {count(faults, 'difference')}",
            hint="see above; `doit k8s_staging` or `doit k8s_deploy` repairs it",
        )
    return Outcome("", changed=False)


def cleanup(session: Session, progress: Progress) -> Outcome:
    """Show what ends a staged version; with ``yes=1``, end it.

    Effects: with ``yes=1``, CronJobs, monitors and the branch are gone.

    Raises:
        VerifyError: something that was asked for is left.
        LadingError: as the cluster and git do.
    """
    asked, acts = need_version(session), session.variables.yes
    console = make_console(sys.stdout)
    ending = _cleanup(session, asked, progress)
    standing = ending.observe()
    plan = ending.plan(standing)
    if plan.is_empty:
        find_dataset(session.config, asked.dataset)  # or it is misspelt
    if not acts:
        for line in plan.describe():
            console.print(Text(line), soft_wrap=True)
        if not plan.is_empty:
            console.print("nothing was changed; the same command with yes=1 does it")
        return Outcome("", changed=False)
    result = ending.apply(plan, progress)
    for line in result.done:
        console.print(Text(line), soft_wrap=True)
    left = [*result.left, *(each for each in ending.prove() if each not in result.left)]
    for line in left:
        console.print(Text(f"left: {line}", style="bold yellow"), soft_wrap=True)
    if left:
        raise VerifyError(
            f"expected nothing left of {asked.dataset} {asked.version}, found {len(left)}",
            hint="see above; run the same command",
        )
    _receipt_of(session, asked).unlink(missing_ok=True)
    told = f"nothing is left of {asked.dataset} {asked.version} but its stores"
    console.print(Text(told + _unseen(session, progress)), soft_wrap=True)
    return Outcome("", changed=result.has_changed)


def _cleanup(session: Session, asked: Asked, progress: Progress) -> Cleanup:
    kubernetes = kubernetes_of(session)
    context, namespace = _place_of(session, asked.dataset)
    identity = _identity_of(session, asked)
    acts = session.variables.yes
    branch = StagingBranch(
        session.repository,
        session.config.project.remote,
        asked.branch,
        scratch=session.calls_folder,
        read_only=not acts,
    )
    receipt = load_rollout_receipt(receipt_path(session, identity, context, namespace))
    return Cleanup(
        open_cluster(session, context, namespace, read_only=not acts),
        branch,
        open_monitors(session, progress, read_only=not acts),
        identity,
        running="orphan" if session.variables.running == "orphan" else "wait",
        wait_s=60.0 * kubernetes.wait_minutes,
        known_commit=receipt.identity.commit if receipt else None,
        token_variable=kubernetes.sentry.token_variable if kubernetes.sentry else "",
    )


def _unseen(session: Session, progress: Progress) -> str:
    """Return what nobody has looked at: without a token the monitors."""
    sentry = kubernetes_of(session).sentry
    if sentry is None or open_monitors(session, progress, read_only=True):
        return ""
    return f"; its monitors were not looked at: no {sentry.token_variable}"


def _place_of(session: Session, dataset: str) -> tuple[str, str]:
    """Return context and namespace of a dataset; of one no longer configured, those of all."""
    kubernetes = kubernetes_of(session)
    plan = plan_datasets(session.config).get(dataset)
    context = plan.context if plan else kubernetes.context
    namespace = plan.namespace if plan else kubernetes.namespace
    if not (context and namespace):
        find_dataset(session.config, dataset)  # says that there is none
        raise UsageError(f"dataset: expected one with context and namespace, got {dataset!r}")
    return context, namespace


def _receipt_of(session: Session, asked: Asked) -> Path:
    context, namespace = _place_of(session, asked.dataset)
    return receipt_path(session, _identity_of(session, asked), context, namespace)


def _identity_of(session: Session, asked: Asked) -> Identity:
    return Identity(
        project=session.config.project.name,
        environment="staging",
        dataset=asked.dataset,
        version=asked.version,
        branch=asked.branch,
    )


def _statuses(session: Session) -> tuple[list[ReleaseStatus], list[str]]:
    """Return how the releases of this project stand, and what else should be known."""
    plans = plan_datasets(session.config)
    places = {
        (each.context, each.namespace) for each in plans.values() if _is_meant(session, each.name)
    }
    live = {place: _ours(session, *place) for place in sorted(places)}
    warnings: list[str] = []
    receipts = [each for each in _receipts(session) if _is_meant(session, each.identity.dataset)]
    found_live = [each.identity for one in live.values() for each in one if each.identity]
    identities = [*found_live, *(each.identity for each in receipts)]
    branches = _branches(session, {each.branch for each in identities if each.branch}, warnings)
    now = now_utc()
    found: list[ReleaseStatus] = []
    for (context, namespace), standing in live.items():
        kept = [each for each in receipts if (each.context, each.namespace) == (context, namespace)]
        found += describe_releases(f"{context}/{namespace}", standing, kept, branches, now)
    warnings += [
        f"production {each.dataset} runs, and no dataset of that name is configured"
        for each in found
        if each.environment == "production" and each.dataset not in plans
    ]
    places_of = {each.name: f"{each.context}/{each.namespace}" for each in plans.values()}
    warnings += [
        f"{each.environment} {each.dataset} {each.version} runs in {each.place}, and is configured"
        f" for {places_of[each.dataset]}: nobody but a person ends it there"
        for each in found
        if each.cron_jobs and places_of.get(each.dataset, each.place) != each.place
    ]
    return found, warnings


def _ours(session: Session, context: str, namespace: str) -> list[LiveCronJob]:
    """Return the CronJobs of this project in a namespace, of the dataset that is meant."""
    live = read_live(open_cluster(session, context, namespace, read_only=True).cron_jobs())
    return [
        each
        for each in live
        if each.identity
        and each.identity.project == session.config.project.name
        and _is_meant(session, each.identity.dataset)
    ]


def _is_meant(session: Session, dataset: str) -> bool:
    return meant_dataset(session) in {"", dataset}


def _branches(session: Session, names: set[str], warnings: list[str]) -> dict[str, str | None]:
    """Ask the remote where the branches stand; say so where it does not answer."""
    remote = GitRemote(
        session.repository, session.config.project.remote, scratch=session.calls_folder
    )
    try:
        refs = remote.find_refs(*(f"refs/heads/{name}" for name in sorted(names)))
    except CommandError as error:
        warnings.append(str(error))
        return {}
    return {name: refs.get(f"refs/heads/{name}") for name in names}


def _receipts(session: Session) -> Iterator[RolloutReceipt]:
    for path in sorted(receipts_folder(session).glob("*/*/*.json")):
        receipt = load_rollout_receipt(path)
        if receipt is not None:
            yield receipt


def _print_release(console: Console, each: ReleaseStatus) -> None:
    title = f"{each.environment} {each.dataset} {each.version}"
    console.print(Text(f"{title}  in {each.place}", style="bold"), soft_wrap=True)
    console.print(Text(f"  {each.branch}; image {each.image or 'unknown'}"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("  role", "schedule", "last run", "next fire", "state"):
        table.add_column(name, overflow="fold")
    for row in each.cron_jobs:
        table.add_row(
            Text(f"  {row.role}"),
            Text(row.schedule),
            Text(_short(row.last_run) or "never"),
            Text(_short(row.next_fire) or "-"),
            Text(_state(row)),
        )
    if each.cron_jobs:
        console.print(table, soft_wrap=False)
    for note in each.notes:
        console.print(Text(f"  note: {note}"), soft_wrap=True)
    for fault in each.faults:
        console.print(Text(f"  {fault}", style="bold red"), soft_wrap=True)


def _state(row: CronJobStatus) -> str:
    words = []
    if row.drift:
        words.append("drifted")
    if row.running:
        words.append("running")
    if row.suspended_by:
        words.append(f"suspended by {row.suspended_by}")
    return ", ".join(words) or "as rolled out"


def _short(moment: str) -> str:
    return moment[:16].replace("T", " ")
