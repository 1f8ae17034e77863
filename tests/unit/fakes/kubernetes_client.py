"""Asks the fake Kubernetes by plain HTTP, and makes objects to ask about."""

import copy
import json
from typing import Any

import httpx

from tests.fakes.kubernetes import FakeKubernetes

Table = dict[str, Any]
CRON_JOBS = "/apis/batch/v1/namespaces/data/cronjobs"
JOBS = "/apis/batch/v1/namespaces/data/jobs"
POD = "spec.jobTemplate.spec.template.spec"
REMOVED = object()


def cron_job(name: str = "a-update", **changes: Any) -> Table:
    """Return a CronJob, changed at places written as ``spec__jobTemplate__spec__x=1``."""
    container: Table = {"name": "main", "image": "r/i:1", "env": [{"name": "A", "value": "1"}]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    body: Table = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {
            "schedule": "0 * * * *",
            "jobTemplate": {
                "metadata": {"labels": {"of": "template"}},
                "spec": {"template": {"spec": pod}},
            },
        },
    }
    return changed(body, {place.replace("__", "."): value for place, value in changes.items()})


def changed(body: Table, changes: Table) -> Table:
    """Return an object changed at places written as ``spec.containers.0.name``."""
    made = copy.deepcopy(body)
    for place, value in changes.items():
        *parents, last = place.split(".")
        at: Any = made
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        if value is REMOVED:
            del at[last]
        else:
            at[int(last) if isinstance(at, list) else last] = value
    return made


def job(name: str = "once", **spec: Any) -> Table:
    """Return a Job."""
    template = cron_job()["spec"]["jobTemplate"]["spec"]["template"]
    made = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
    return {**made, "spec": {"template": template, **spec}}


class Client:
    """Asks as kubectl does."""

    def __init__(self, server: FakeKubernetes, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.server = server
        # no certificates to load: they take longer than a test
        self.http = httpx.Client(
            base_url=server.url, trust_env=False, headers=headers, verify=False
        )

    def get(self, path: str = "", **query: str) -> httpx.Response:
        """Ask for CronJobs, or for one."""
        return self.http.get(CRON_JOBS + path, params=query)

    def create(self, body: Table, path: str = CRON_JOBS, **query: str) -> httpx.Response:
        """Create an object."""
        return self.http.post(path, json=body, params={"fieldManager": "maker", **query})

    def apply(self, body: Table, manager: str = "lading", **query: str) -> httpx.Response:
        """Apply a CronJob on the server."""
        params = {"fieldManager": manager, "fieldValidation": "Strict", **query}
        return self._patch(body["metadata"]["name"], body, "apply-patch+yaml", params)

    def merge(self, name: str, patch: Table, manager: str = "kubectl-patch") -> httpx.Response:
        """Change a CronJob by a merge patch."""
        return self._patch(name, patch, "merge-patch+json", {"fieldManager": manager})

    def strategic(self, name: str, patch: Table) -> httpx.Response:
        """Change a CronJob by a strategic merge patch."""
        return self._patch(name, patch, "strategic-merge-patch+json", {"fieldManager": "csa"})

    def json_patch(self, name: str, patch: list[Table]) -> httpx.Response:
        """Change a CronJob by a JSON patch."""
        return self._patch(name, patch, "json-patch+json", {"fieldManager": "lading"})

    def put(self, body: Table, **query: str) -> httpx.Response:
        """Replace a CronJob."""
        return self.http.put(f"{CRON_JOBS}/{body['metadata']['name']}", json=body, params=query)

    def delete(self, name: str, path: str = CRON_JOBS, **options: Any) -> httpx.Response:
        """Delete an object."""
        sent = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        return self.http.request("DELETE", f"{path}/{name}", json=sent)

    def owners(self, name: str = "a-update") -> dict[str, str]:
        """Return what each manager of a CronJob owns, as text."""
        fields = self.server.cron_jobs()[name]["metadata"].get("managedFields", [])
        return {f"{e['manager']} {e['operation']}": json.dumps(e["fieldsV1"]) for e in fields}

    def _patch(self, name: str, patch: Any, kind: str, params: Table) -> httpx.Response:
        headers = {"Content-Type": f"application/{kind}"}
        content = json.dumps(patch).encode()
        return self.http.patch(
            f"{CRON_JOBS}/{name}", content=content, params=params, headers=headers
        )


def said(response: httpx.Response) -> str:
    """Return what a refusal says after the object's name."""
    message = str(response.json()["message"])
    return message.partition(" is invalid: ")[2] or message


def environment(body: Table) -> list[str]:
    """Return the names of the variables of the only container."""
    pod = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return [each["name"] for each in pod["containers"][0].get("env", [])]
