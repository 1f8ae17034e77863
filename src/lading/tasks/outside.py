"""What a release does outside the stores: one target a call, one step for all of them.

The order stands in ``ROAD`` and nowhere else.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lading.config import Channel, Zenodo
from lading.config.models import Dispatch
from lading.errors import LadingError, ServiceError, VerifyError
from lading.release.names import Release, ServiceCall
from lading.release.receipts import Receipt, Stamp, load_receipt, render_receipt
from lading.services.journal import Journal
from lading.ship.shipment import Shipment
from lading.ship.target import settle
from lading.ship.verify import Finding
from lading.storage import Progress
from lading.storage.bytes import write_atomically
from lading.tasks import steps
from lading.tasks.session import Session
from lading.tasks.steps import Outcome, need_release

if TYPE_CHECKING:
    from lading.services.zenodo import DepositTarget

_MARKER = 16  # hexadecimal digits of the manifest that tell a run from another
ROAD = ("promote", "hold", "git_merge", "zenodo", "cloud_run", "notify")
"""What happens once every destination holds every byte, in this order."""


class Outside(Protocol):
    """A target that is no store."""

    @property
    def place(self) -> str:
        """What is changed, as a URL or in words."""

    def require_access(self) -> str:
        """Ask, before anything long, all that can be asked without a change."""

    def observe(self) -> Any:
        """Look at what is there."""

    def plan(self, observed: Any) -> "OutsideChanges":
        """Return the changes still needed. Pure."""

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off others, as every target."""

    def apply(self, changes: Any, progress: Progress) -> None:
        """Make the changes."""

    def prove(self) -> Receipt:
        """Read back what is there."""


class OutsideChanges(Protocol):
    """What such a target still needs."""

    @property
    def is_empty(self) -> bool:
        """Whether it needs nothing."""

    def describe(self) -> str:
        """Say it in a few words."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a release, with all that its target is made of."""

    session: Session
    """The session."""
    what: ServiceCall
    """The call."""
    shipment: Shipment | None
    """The release that it tells of; None before there is a manifest."""
    read_only: bool
    """Whether it may only look."""

    @property
    def manifest_sha256(self) -> str:
        """Identity of the release; "" before there is a manifest."""
        return self.shipment.manifest_sha256 if self.shipment else ""

    @property
    def release(self) -> Release:
        """The release."""
        return need_release(self.session)

    @property
    def channel(self) -> Channel:
        """The channel's configuration."""
        return self.session.config.channels[self.release.channel]

    @property
    def stamp(self) -> Stamp:
        """What its receipts say of the release."""
        release = self.release
        return Stamp(
            task=self.what.task,
            project=release.project,
            channel=release.channel,
            tag=release.tag,
            environment=release.environment,
            manifest_sha256=self.manifest_sha256,
        )

    @property
    def journal(self) -> Journal:
        """What it has begun."""
        path = self.session.calls_folder / f"{self.what.task.replace(':', '-')}.json"
        return Journal(path, self.manifest_sha256)


def open_target(call: Call) -> Outside:
    """Return the target of a call.

    Raises:
        LadingError: a tool or a token that it needs is missing.
    """
    return _TARGETS[call.what.task.partition(":")[0]](call)


def settle_call(session: Session, what: ServiceCall, progress: Progress) -> Outcome:
    """Make a call, or say why this run does not; write the receipt.

    Raises:
        VerifyError: a public prefix is not proved to be switched to this release.
        LadingError: as the target's verbs do.
    """
    if what.skipped:
        return Outcome(f"{what.skipped}: {_foresee(session, what)}", changed=False, skipped=True)
    target = open_target(call_of(session, what))
    changes, receipt = settle(target, progress)
    write_atomically(call_receipt_path(session, what), render_receipt(receipt))
    told = getattr(target, "summary", "") or changes.describe()
    # below the table, which would fold it in the middle
    url = receipt.facts.get("url", "")
    notes = (f"{what.task}: {url}",) if url else ()
    return Outcome(told, changed=not changes.is_empty, notes=notes)


def plan_call(session: Session, what: ServiceCall, shipment: Shipment) -> tuple[str, str]:
    """Return what a call would do, as a word and in words; nothing is changed.

    Returns:
        ``skip``, ``keep``, ``change``, ``refuse``, or ``unknown`` where it could not be asked.
    """
    if what.skipped:
        return "skip", f"{what.skipped}: {what.effect}"
    try:
        target = open_target(Call(session, what, shipment, read_only=True))
        changes = target.plan(target.observe())
    except VerifyError as error:
        return "refuse", str(error)
    except LadingError as error:
        return "unknown", str(error)
    return ("keep" if changes.is_empty else "change"), changes.describe()


def verify_call(session: Session, what: ServiceCall, shipment: Shipment) -> Finding | None:
    """Prove a call again; None of one that this run does not make."""
    if what.skipped:
        return None
    faults: tuple[str, ...] = ()
    try:
        open_target(Call(session, what, shipment, read_only=True)).prove()
    except LadingError as error:
        faults = (str(error),)
    return Finding(what.task, None, faults)


def reserve_doi(session: Session, progress: Progress) -> Outcome:
    """Reserve the DOI of this release, or find the one that it has; keep it for the manifest."""
    what = next(each for each in need_release(session).calls if each.task == "zenodo")
    target = _deposit_target(Call(session, what, None, read_only=False))
    doi = target.reserve_doi(progress)
    data = json.dumps({"schema_version": 1, "doi": doi}) + "\n"
    write_atomically(session.doi_path, data.encode())
    return Outcome(doi)


def is_reserved(session: Session) -> bool:
    """Say whether the DOI that was reserved still stands: a person may have discarded the draft."""
    what = next(each for each in need_release(session).calls if each.task == "zenodo")
    try:
        observed = _deposit_target(Call(session, what, None, read_only=True)).observe()
    except LadingError:
        return False
    found = observed.published or observed.draft
    return found is not None and found.deposit.doi == steps.load_doi(session.doi_path)


def call_of(session: Session, what: ServiceCall, *, read_only: bool = False) -> Call:
    """Return a call of the release that was made on this machine and is public.

    Raises:
        VerifyError: a public prefix is not proved to be switched to this release.
    """
    shipment = steps.load_shipment(session)
    if not read_only:
        require_promotions(session, shipment.manifest_sha256)
    return Call(session, what, shipment, read_only)


def require_promotions(session: Session, manifest_sha256: str) -> None:
    """Tell the outside of nothing that is not public, whatever doit was told.

    Raises:
        VerifyError: naming the first prefix that is not proved.
    """
    for prefix in need_release(session).prefixes:
        receipt = load_receipt(steps.promote_receipt_path(session, prefix))
        if receipt is None or receipt.manifest_sha256 != manifest_sha256:
            raise VerifyError(
                f"promote:{prefix.task}: expected a receipt of this manifest"
                f" ({manifest_sha256[:16]}…), found another or none"
            )


def require_access(session: Session, progress: Progress) -> Outcome:
    """Ask all the outside, before anything long, what can be asked without a change.

    Raises:
        ServiceError: with a line for each call that could not be made.
    """
    del progress
    calls = [each for each in need_release(session).calls if not each.skipped]
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(partial(_ask_access, session), calls))
    if faults := [fault for _, fault in answers if fault]:
        raise ServiceError("\n".join(faults))
    return Outcome("; ".join(found for found, _ in answers), changed=False)


def _ask_access(session: Session, what: ServiceCall) -> tuple[str, str]:
    """Return what was found, or what is wrong: one person mends all of it at once."""
    try:
        # not read only: git asks by a push of nothing whether it may push
        found = open_target(Call(session, what, None, read_only=False)).require_access()
    except LadingError as error:
        return "", f"{what.task}: {error}"
    return f"{what.task}: {found}", ""


def call_receipt_path(session: Session, what: ServiceCall) -> Path:
    """Return where the receipt of a call is kept."""
    return session.run_folder / "receipts" / f"{what.task.replace(':', '/')}.json"


def _foresee(session: Session, what: ServiceCall) -> str:
    """Say what production would do, where that can be asked without a service's token."""
    if what.task != "git_merge":
        return what.effect
    try:
        target = open_target(Call(session, what, None, read_only=True))
        changes = target.plan(target.observe())
    except LadingError as error:
        return f"{what.effect}; it would fail: {error}"
    return f"{what.effect}; it would be {changes.describe()}"


def _branch_target(call: Call) -> Outside:
    from lading.services.branch import BranchTarget  # noqa: PLC0415  doit list needs none of these

    project = call.session.config.project
    return BranchTarget(
        call.session.repository,
        project.remote,
        call.channel.branch,
        call.release.tag,
        call.stamp,
        scratch=call.session.calls_folder,
        read_only=call.read_only,
    )


def _zenodo_target(call: Call) -> Outside:
    zenodo = _zenodo_of(call)
    if zenodo.dispatch is None:
        return _deposit_target(call)
    source = next(
        (each for each in call.release.destinations if each.name == zenodo.source),
        call.release.destinations[0],
    )
    inputs = {
        "env": zenodo.env,
        "source_dir": f"{source.url.rstrip('/')}/{source.prefixes[0].key_prefix}".rstrip("/"),
        "ignore_regex": zenodo.ignore,
        "publish": "publish" if zenodo.publish else "no-publish",
        "manifest": call.manifest_sha256,
    }
    # a run for the sandbox never stands for one for production
    marker = f"{zenodo.env} {call.manifest_sha256[:_MARKER]}"
    return _workflow_target(call, zenodo.dispatch, inputs, marker)


def _deposit_target(call: Call) -> "DepositTarget":
    from lading.tasks.deposits import Cargo, open_deposit  # noqa: PLC0415  as above

    shipment = call.shipment
    cargo = Cargo(
        config=call.session.config,
        base=call.session.base,
        release=call.release,
        stamp=call.stamp,
        manifest=shipment.manifest if shipment else None,
        open_file=lambda file: shipment.opened(file) if shipment else nullcontext(Path()),
        notes=call.session.calls_folder,
    )
    return open_deposit(cargo, _zenodo_of(call), read_only=call.read_only)


def _zenodo_of(call: Call) -> Zenodo:
    if call.channel.zenodo is None:
        raise AssertionError(call.what)
    return call.channel.zenodo


def _cloud_run_target(call: Call) -> Outside:
    from lading.services.cloud_run import CloudRunTarget  # noqa: PLC0415  as above

    name = call.what.task.partition(":")[2]
    service = next(each for each in call.channel.cloud_run if each.service == name)
    if service.dispatch:
        return _workflow_target(call, service.dispatch, {}, call.manifest_sha256[:_MARKER])
    session, read_only = call.session, call.read_only
    return CloudRunTarget(service, call.stamp, call.journal, session.base, read_only=read_only)


def _workflow_target(
    call: Call, dispatch: Dispatch, inputs: Mapping[str, str], marker: str
) -> Outside:
    from lading.services.github import open_github  # noqa: PLC0415  as above
    from lading.services.workflow import WorkflowTarget  # noqa: PLC0415  as above
    from lading.services.workflow_run import WorkflowCall  # noqa: PLC0415  as above

    release, session = call.release, call.session

    def fill(text: str) -> str:
        filled = text.replace("{tag}", release.tag).replace("{channel}", release.channel)
        return filled.replace("{manifest}", call.manifest_sha256)

    asked = WorkflowCall(
        repository=dispatch.repository or session.config.project.github,
        workflow=dispatch.workflow,
        ref=fill(dispatch.ref),
        inputs={**inputs, **{name: fill(value) for name, value in dispatch.inputs.items()}},
        marker=marker if call.manifest_sha256 else "",
        timeout_s=60.0 * dispatch.timeout_minutes,
        site_url=environ.get("GITHUB_SERVER_URL", "https://github.com"),
    )
    api = open_github(session.base, environ, read_only=call.read_only)
    known = load_receipt(call_receipt_path(session, call.what))
    return WorkflowTarget(api, asked, call.stamp, call.journal, known)


_TARGETS: dict[str, Callable[[Call], Outside]] = {
    "git_merge": _branch_target,
    "zenodo": _zenodo_target,
    "cloud_run": _cloud_run_target,
}
