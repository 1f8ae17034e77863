"""A Cloud Run service that reads the release: a new revision, awaited until it serves.

All goes through gcloud, whose exit code is not believed: what the service shows afterwards
decides. Requests are never sent elsewhere by us; the command to go back is told.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from lading.config import CloudRun
from lading.errors import CommandError, GuardError, LadingError, ServiceError, VerifyError
from lading.release.receipts import Receipt, Stamp
from lading.services.cloud_run_state import (
    LABEL,
    CloudRunChanges,
    CloudRunState,
    Revision,
    Service,
    Wanted,
    is_asked,
    parse_revision,
    parse_service,
    plan_service,
)
from lading.services.journal import Journal
from lading.services.registry import parse_image, resolve_digest, resolve_platform
from lading.services.shell import run_command
from lading.storage.progress import NO_PROGRESS, Progress

_LOOK_S = 120.0  # gcloud asks five times by itself where it gets no answer
_PAUSE_S = 3
_LABEL_CHARS = 16  # of at most 63 that the value of a label may have
_OLD = "old_revision"


class CloudRunTarget:
    """One service, as a target of a release.

    Args:
        service: what the configuration says of it; with image and region.
        stamp: what its receipt says of the release.
        journal: keeps which revision served before.
        folder: where gcloud runs.
        read_only: refuse to change anything.
        clock: seconds that only grow; another one in tests.
        sleep: how to wait; another one in tests.

    Attributes:
        limit_s: seconds after which a revision that does not come up is given up.
        summary: what was done, once it is done.
    """

    limit_s = 600.0

    def __init__(
        self,
        service: CloudRun,
        stamp: Stamp,
        journal: Journal,
        folder: Path,
        *,
        read_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._service = service
        self._stamp = stamp
        self._journal = journal
        self._folder = folder
        self._read_only = read_only
        self._clock = clock
        self._sleep = sleep
        self._wanted: Wanted | None = None
        self.summary = ""

    @property
    def place(self) -> str:
        """The service and its region, in words."""
        return f"Cloud Run {self._service.service} ({self._service.region})"

    def require_access(self) -> str:
        """Ask whether gcloud, the service and the image are there; say what was found.

        Raises:
            CommandError: gcloud is missing, or has nobody logged in.
            ServiceError: there is no such service or image, or it is not shown to us.
        """
        service = self._see_service(NO_PROGRESS)
        wanted = self._resolve()
        serving = ", ".join(service.serving) or "no revision"
        return f"{serving} serves; {self._service.image} is {wanted.digest}"

    def observe(self) -> CloudRunState:
        """Look at the service, and ask anew what its image's name stands for.

        Raises:
            CommandError, ServiceError: as ``require_access``.
        """
        self._wanted = self._resolve()
        return self._compare(NO_PROGRESS)

    def plan(self, observed: CloudRunState) -> CloudRunChanges:
        """Return what the service still needs. Pure."""
        return plan_service(observed)

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold off nobody: a service refuses what was made from an older state of it."""
        return nullcontext(enter_result=False)

    def apply(self, changes: CloudRunChanges, progress: Progress) -> None:
        """Make a new revision where one is needed, and wait until it serves.

        Effects: at most one new revision, of exactly the digest that was compared.

        Raises:
            GuardError: a revision is needed, and this target may only look.
            CommandError: gcloud is missing.
            ServiceError: the revision did not come up, or a person has sent the requests
                elsewhere; with the command that helps.
        """
        until = self._clock() + self.limit_s
        failed = None
        if changes.action == "update":
            failed = self._update(changes, progress)
        elif changes.action == "wait" and not self._journal.get(_OLD):
            self._journal.note(**{_OLD: changes.serving})
        self.summary = self._await(changes, failed, until, progress)

    def prove(self) -> Receipt:
        """Read back which revision serves.

        Raises:
            VerifyError: it does not run what the release wants.
            CommandError, ServiceError: as ``require_access``.
        """
        if self._wanted is None:
            self._wanted = self._resolve()
        state = self._compare(NO_PROGRESS)
        changes = plan_service(state)
        if not changes.is_empty:
            raise VerifyError(
                f"{self.place}: expected {state.wanted.digest} to serve,"
                f" found it to need {changes.describe()}"
            )
        old = self._journal.get(_OLD)
        return self._stamp.receipt(
            self.place,
            {
                "revision": changes.serving,
                "old_revision": "" if old == changes.serving else old,
                "image": self._service.image,
                "digest": state.wanted.digest,
                "url": state.service.url,
                "region": self._service.region,
            },
        )

    def _resolve(self) -> Wanted:
        image = self._service.image
        digest = resolve_digest(image, folder=self._folder, sleep=self._sleep)
        label = self._stamp.manifest_sha256[:_LABEL_CHARS] if self._service.restart else ""
        return Wanted(parse_image(image).untagged, digest, label)

    def _compare(self, progress: Progress) -> CloudRunState:
        """Look at the service; where the digests differ, look what the wanted image consists of."""
        state = self._see(progress)
        wanted, found = state.wanted, [state.service.template, *state.revisions.values()]
        if wanted.parts or any(wanted.digest in each.digests for each in found):
            return state
        parts = resolve_platform(
            self._service.image, wanted.digest, folder=self._folder, sleep=self._sleep
        )
        self._wanted = replace(wanted, parts=parts)
        return replace(state, wanted=self._wanted)

    def _see(self, progress: Progress) -> CloudRunState:
        """Look at the service and, where that says more, at its revisions."""
        wanted = self._wanted or self._resolve()
        service = self._see_service(progress)
        names = {service.created, *service.serving} - {""}
        if service.is_ready is None and service.template.is_wanted(wanted):
            names = set()  # it is coming up: its revisions cannot say more
        seen = {name: self._see_revision(name, progress) for name in sorted(names)}
        return CloudRunState(wanted, service, {k: v for k, v in seen.items() if v})

    def _see_service(self, progress: Progress) -> Service:
        try:
            told = self._ask(["services", "describe", self._service.service], progress)
        except CommandError as error:
            raise self._placed(error) from error
        return parse_service(told)

    def _see_revision(self, name: str, progress: Progress) -> Revision | None:
        try:
            told = self._ask(["revisions", "describe", name], progress)
        except CommandError as error:
            if "Cannot find revision" in error.stderr:
                return None  # a person has removed it
            raise self._placed(error) from error
        return parse_revision(told)

    def _placed(self, error: CommandError) -> LadingError:
        """Say which service it was; a missing program is one of no service."""
        if error.exit_code_of_child is None:
            return error
        return ServiceError(f"{self.place}: {error}")

    def _ask(self, words: list[str], progress: Progress) -> str:
        return run_command(
            ["gcloud", "run", *words, *self._where(), "--format=json"],
            folder=self._folder,
            timeout_s=_LOOK_S,
            attempts=2,
            progress=progress,
        )

    def _where(self) -> list[str]:
        project = self._service.project
        return ["--region", self._service.region, *(["--project", project] if project else [])]

    def _update(self, changes: CloudRunChanges, progress: Progress) -> CommandError | None:
        """Ask for a new revision, once; return what gcloud said where it failed."""
        if self._read_only:
            raise GuardError(f"{self.place}: expected to look only, got {changes.describe()}")
        self._journal.note(**{_OLD: changes.serving})
        label = changes.wanted.label
        arguments = [
            *("gcloud", "run", "services", "update", self._service.service),
            *("--image", changes.wanted.pinned),
            *(("--update-labels", f"{LABEL}={label}") if label else ()),
            *self._where(),
            *("--quiet", "--format=json"),
        ]
        try:
            run_command(arguments, folder=self._folder, timeout_s=self.limit_s, progress=progress)
        except CommandError as error:
            return error
        return None

    def _await(
        self,
        before: CloudRunChanges,
        failed: CommandError | None,
        until: float,
        progress: Progress,
    ) -> str:
        """Look until the wanted revision serves, or will not; say which serves."""
        while True:
            state = self._see(progress)
            now = plan_service(state)
            if now.is_empty:
                return f"{now.serving} serves instead of {before.serving or 'none'}"
            if now.action == "route":
                raise self._unrouted(now)
            if now.action == "update":
                raise self._refused(before, state, failed)
            if self._clock() > until:
                raise self._not_up(now, f"none of it within {self.limit_s:g} s")
            for _ in range(_PAUSE_S):
                progress.relative_update(0)
                self._sleep(1.0)

    def _refused(
        self, before: CloudRunChanges, state: CloudRunState, failed: CommandError | None
    ) -> ServiceError:
        """Say why the service is not on its way to what is wanted."""
        if before.action == "update" and state.service.generation == before.service.generation:
            said = str(failed) if failed else "expected a new revision, found none"
            return ServiceError(f"{self.place}: {said}")
        if not is_asked(state):
            digests = ", ".join(state.service.template.digests) or "an image by its tag"
            return ServiceError(
                f"{self.place}: expected the last change to ask for {state.wanted.digest},"
                f" found that somebody asked for {digests}",
                hint="run the same command when nobody else deploys the service",
            )
        return self._not_up(plan_service(state), repr(state.service.message))

    def _not_up(self, now: CloudRunChanges, got: str) -> ServiceError:
        service, old = now.service, now.serving
        newest = service.created if service.created not in service.serving else "a new revision"
        back = (
            f"{old} still serves; to stay with it: `{self._traffic(f'--to-revisions {old}=100')}`"
        )
        return ServiceError(
            f"{self.place}: expected {newest} to come up with {now.wanted.digest}, got {got}",
            hint=back if old else "no revision serves; look at its log",
        )

    def _unrouted(self, now: CloudRunChanges) -> ServiceError:
        found = ", ".join(now.service.serving) or "no revision"
        return ServiceError(
            f"{self.place}: expected requests to go to {now.service.created}, which is ready,"
            f" found that a person has sent them to {found}",
            hint=f"run `{self._traffic('--to-latest')}`, then the same command",
        )

    def _traffic(self, option: str) -> str:
        words = ["gcloud run services update-traffic", self._service.service, *self._where()]
        return " ".join([*words, option])
