"""One namespace of one Kubernetes cluster, through the person's own kubectl.

kubectl brings the login that a team has (a cloud's plugin, a token, a certificate), takes over
what was applied client-side, and asks the server to refuse fields that it does not know. Every
call names its context and its namespace; only options that kubectl 1.20 knows are used.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from lading.errors import ClusterError, UnansweredError
from lading.services.kubectl_answers import Fault, Kind
from lading.services.kubectl_calls import Answer, KubectlCalls

_MANAGER, _CLEANUP_MANAGER = "lading", "lading-cleanup"
_API = "batch/v1"
_CRON_JOB, _JOB = "cronjobs.v1.batch", "jobs.v1.batch"
_PAGE = 500
_LISTINGS = 3  # how often a listing that was too slow is begun anew
_NEAR = 3
_NAMES = 20  # of contexts that are told


class Kubectl(KubectlCalls):
    """CronJobs and Jobs of one namespace; made, and with attributes, as ``KubectlCalls``."""

    def require_context(self) -> None:
        """Ask whether kubectl is there and knows the context; no cluster is asked.

        Raises:
            CommandError: kubectl is missing.
            ClusterError: the context is unknown; those that are known are told.
        """
        answer = self._repeat(["config", "get-contexts", "-o", "name"], flags=())
        known = [name for each in self._require(answer).split("\n") if (name := each.strip())]
        if self._context in known:
            return
        near = difflib.get_close_matches(self._context, known, n=_NEAR)
        told = [*near, *(each for each in known if each not in near)][:_NAMES]
        raise ClusterError(
            f"kubectl: expected the context {self._context} in the kubeconfig,"
            f" found {', '.join(told) or 'none'}",
            hint=f"did you mean {near[0]}?" if near else "KUBECONFIG names the files that are read",
        )

    def cron_jobs(self) -> list[Mapping[str, Any]]:
        """Return every CronJob of the namespace, with its ``managedFields``.

        Raises:
            CommandError: kubectl is missing.
            ClusterError: the cluster cannot be reached, or says no.
            UnansweredError: the cluster did not answer.
        """
        return self._list("cronjobs", "CronJob", "")

    def jobs(self, selector: str) -> list[Mapping[str, Any]]:
        """Return the Jobs that a label selector matches.

        Raises:
            CommandError, ClusterError, UnansweredError: as ``cron_jobs``.
        """
        return self._list("jobs", "Job", selector)

    def dry_run(
        self, objects: Sequence[Mapping[str, Any]], *, take: bool
    ) -> list[Mapping[str, Any]]:
        """Apply on the server without keeping anything; return what would stand, in their order.

        Raises:
            CommandError, UnansweredError: as ``cron_jobs``.
            ConflictError: other managers hold fields with other values; all of them named.
            ClusterError: with a line for each object that the API refuses.
        """
        answer = self._apply(objects, take=take, options=["--dry-run=server"])
        if not objects:
            return []
        made = _parse_json(self._require(answer), self.place)
        items = made.get("items", []) if made.get("kind") == "List" else [made]
        found = {each["metadata"]["name"]: each for each in items}
        try:
            return [found[each["metadata"]["name"]] for each in objects]
        except KeyError as error:
            raise ClusterError(
                f"{self.place}: {error.args[0]}: expected kubectl to print it, found it left out"
            ) from None

    def apply(self, objects: Sequence[Mapping[str, Any]], *, take: bool) -> None:
        """Apply on the server as field manager ``lading``. Safe to repeat; not a transaction.

        Effects: what is good of the objects stands, even where another is refused.

        Raises:
            GuardError: this only reads.
            CommandError, ConflictError, ClusterError, UnansweredError: as ``dry_run``.
        """
        self._guard("an apply")
        answer = self._apply(objects, take=take, options=[])
        # part of a set may stand where the server went away in its middle
        self._require(replace(answer, is_unsure=answer.is_unsure or len(objects) > 1))

    def suspend(self, name: str, *, suspended: bool) -> bool:
        """Suspend or resume a CronJob as field manager ``lading-cleanup``.

        Returns:
            False where there is none of that name.

        Raises:
            GuardError: this only reads.
            CommandError, ClusterError, UnansweredError: as ``cron_jobs``.
        """
        return self._patch(name, {"spec": {"suspend": suspended}})

    def annotate(self, name: str, annotations: Mapping[str, str | None]) -> bool:
        """Set annotations of a CronJob as ``lading-cleanup``, or remove them (None).

        Returns:
            False where there is none of that name.

        Raises:
            GuardError, CommandError, ClusterError, UnansweredError: as ``suspend``.
        """
        return self._patch(name, {"metadata": {"annotations": dict(annotations)}})

    def delete(self, name: str, *, orphan: bool) -> bool:
        """Delete a CronJob, with its Jobs, or leaving them (``orphan``).

        Returns:
            False where there was none of that name. True where an answer was lost and it is gone.

        Raises:
            GuardError, CommandError, ClusterError, UnansweredError: as ``suspend``.
        """
        return self._delete(_CRON_JOB, name, "orphan" if orphan else "background")

    def create_job(self, body: Mapping[str, Any]) -> bool:
        """Create a Job as field manager ``lading``. Safe to repeat: its name is the lock.

        Returns:
            False where one of that name stands already: of an earlier try whose answer was lost,
            perhaps.

        Raises:
            GuardError, CommandError, ClusterError, UnansweredError: as ``suspend``.
        """
        self._guard("a Job")
        options = [f"--field-manager={_MANAGER}", "-o=name", "-f=-"]
        answer = self._repeat(["create", *options], stdin=_render(body))
        if answer.has_existed:
            return False
        self._require(answer)
        return True

    def job(self, name: str) -> Mapping[str, Any] | None:
        """Return a Job, or None where there is none of that name.

        Raises:
            CommandError: kubectl is missing.
            ClusterError: the cluster says no.
            UnansweredError: it did not answer, or could not be reached.
        """
        answer = self._repeat(["get", f"--raw={self._root('jobs')}/{quote(name, safe='')}"])
        if answer.is_absent:
            return None
        # who looks again and again wants to know what passes from what stays
        return _parse_json(self._require(replace(answer, is_unsure=True)), self.place)

    def delete_job(self, name: str) -> bool:
        """Delete a Job with its pods.

        Returns:
            False where there was none of that name. True where an answer was lost and it is gone.

        Raises:
            GuardError, CommandError, ClusterError, UnansweredError: as ``suspend``.
        """
        return self._delete(_JOB, name, "background")

    def _delete(self, resource: str, name: str, cascade: str) -> bool:
        self._guard("a deletion")
        options = [f"--cascade={cascade}", "--wait=false"]
        answer = self._repeat(["delete", resource, name, *options])
        if answer.is_absent:
            return answer.is_unsure
        self._require(answer)
        return True

    def _patch(self, name: str, patch: Mapping[str, Any]) -> bool:
        self._guard("a patch")
        options = ["--type=merge", f"--field-manager={_CLEANUP_MANAGER}", f"-p={_render(patch)}"]
        answer = self._repeat(["patch", _CRON_JOB, name, *options])
        if answer.is_absent:
            return False
        self._require(answer)
        return True

    def _apply(
        self, objects: Sequence[Mapping[str, Any]], *, take: bool, options: Sequence[str]
    ) -> Answer:
        """Apply a set in one call; where it fails, find out whom each fault is about."""
        if not objects:
            return Answer("", (), is_unsure=False)
        apply = ["apply", "--server-side", f"--field-manager={_MANAGER}", "-o=json", "-f=-"]
        if take:
            apply.append("--force-conflicts")
        answer = self._repeat([*apply, *options], stdin=_render_list(objects))
        if not any(_is_nameless(each) for each in answer.faults):
            return answer
        faults = [each for each in answer.faults if not _is_nameless(each)]
        for each in objects:  # kubectl does not say whose conflict it is
            look = [*apply, "--dry-run=server"]
            alone = self._repeat(look, stdin=_render_list([each])).faults
            faults += [_named(fault, each["metadata"]["name"]) for fault in alone]
        named = [each for each in dict.fromkeys(faults) if not each.passes]
        return replace(answer, faults=tuple(named) or answer.faults)

    def _list(self, resource: str, kind: str, selector: str) -> list[Mapping[str, Any]]:
        """Return all objects of a kind, of which a listing tells the kind only once."""
        for _ in range(_LISTINGS):
            found: list[Mapping[str, Any]] = []
            token, answer = "", None
            while answer is None or token:
                answer = self._repeat(["get", f"--raw={self._path(resource, selector, token)}"])
                if any(each.kind is Kind.EXPIRED for each in answer.faults):
                    break
                page = _parse_json(self._require(answer), self.place)
                found += [{"apiVersion": _API, "kind": kind, **each} for each in page["items"]]
                token = page["metadata"].get("continue", "")
            else:
                return found
        raise UnansweredError(f"{self.place}: expected a listing, got pages that expire")

    def _path(self, resource: str, selector: str, token: str) -> str:
        asked = {"limit": str(_PAGE), "labelSelector": selector, "continue": token}
        query = urlencode({name: value for name, value in asked.items() if value}, quote_via=quote)
        return f"{self._root(resource)}?{query}"

    def _root(self, resource: str) -> str:
        return f"/apis/{_API}/namespaces/{quote(self._namespace, safe='')}/{resource}"


def _is_nameless(fault: Fault) -> bool:
    return fault.kind in {Kind.CONFLICT, Kind.INVALID} and not fault.name


def _named(fault: Fault, name: str) -> Fault:
    return replace(fault, name=name) if _is_nameless(fault) else fault


def _render(value: Mapping[str, Any]) -> str:
    # in one line without an end: kubectl, where it lacks a login, would take a line for the name
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _render_list(objects: Sequence[Mapping[str, Any]]) -> str:
    return _render({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _parse_json(text: str, place: str) -> dict[str, Any]:
    """Read what kubectl printed.

    Raises:
        ClusterError: it is no object of the API.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise ClusterError(f"{place}: expected an object of the API, got {text[:80]!r}")
    return found
