"""What a fake InvenioRDM holds: concepts, their versions and drafts, the files of each."""

import hashlib
import html
import re
from datetime import UTC, datetime
from typing import Any

MAX_FILES = 100
RESOURCE_TYPES = {"dataset", "software", "publication-article"}
RELATIONS = {"issupplementedby", "isvariantformof", "isidenticalto", "isdocumentedby", "cites"}
LICENCES = {"cc-by-4.0", "cc0-1.0", "odc-by-1.0", "mit"}
DESCRIPTIONS = {"abstract", "methods", "technical-info", "other"}


class Refusal(Exception):  # noqa: N818  an answer, not an error of the fake
    """An answer that says no."""

    def __init__(self, status: int, message: str, field: str = "", fault: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.table: dict[str, Any] = {"status": status, "message": message}
        if field:
            self.table["errors"] = [{"field": field, "messages": [fault]}]


class StoredFile:
    """A file of a draft or a record."""

    def __init__(self, key: str, stored: bytes | None = None) -> None:
        self.key = key
        self.stored = stored
        self.waiting: bytes | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it was committed."""
        return self.stored is not None

    def render(self) -> dict[str, Any]:
        """Return it as the API does."""
        table: dict[str, Any] = {"key": self.key, "metadata": None, "status": "pending"}
        if self.stored is None:
            return table
        digest = hashlib.md5(self.stored, usedforsecurity=False).hexdigest()
        return table | {
            "status": "completed",
            "checksum": f"md5:{digest}",
            "size": len(self.stored),
            "storage_class": "L",
        }


class Draft:
    """A draft, or, once published, a version."""

    def __init__(self, number: int, concept: str, owner: str, index: int) -> None:
        self.id = str(number)
        self.concept = concept
        self.owner = owner
        self.index = index
        self.is_published = False
        self.doi = ""
        self.metadata: dict[str, Any] = {}
        self.access: dict[str, Any] = {"record": "public", "files": "public"}
        self.files: dict[str, StoredFile] = {}

    def describe(self, table: dict[str, Any]) -> list[dict[str, Any]]:
        """Replace what it says of itself; return what is wrong, which is not kept."""
        if not table.get("files", {}).get("enabled"):
            raise Refusal(400, "This fake has no records without files.")
        self.access = table.get("access", {"record": "public", "files": "public"})
        kept, errors = check_metadata(table.get("metadata") or {})
        self.metadata = kept
        if "pids" in table:
            self.doi = table["pids"].get("doi", {}).get("identifier", "")
        return errors

    def register(self, key: str) -> None:
        """Announce a file."""
        if key in self.files:
            raise Refusal(400, f"File with key {key} already exists.")
        if "/" in key or len(self.files) >= MAX_FILES:
            raise Refusal(400, "Uploading selected files will exceed the max amount per record.")
        self.files[key] = StoredFile(key)

    def file(self, key: str) -> StoredFile:
        """Return a file, or refuse with 404."""
        if key not in self.files:
            raise Refusal(404, f"Record '{self.id}' has no file '{key}'.")
        return self.files[key]

    def import_files(self, previous: "Draft") -> None:
        """Link the files of another version."""
        self.files = {key: StoredFile(key, each.stored) for key, each in previous.files.items()}

    def render(self, url: str) -> dict[str, Any]:
        """Return it as the API does."""
        page = "records" if self.is_published else "uploads"
        pids = {"doi": {"identifier": self.doi, "provider": "datacite", "client": "datacite"}}
        return {
            "id": self.id,
            "parent": {"id": self.concept, "access": {"owned_by": {"user": self.owner}}},
            "is_published": self.is_published,
            "is_draft": not self.is_published,
            "metadata": self.metadata,
            "access": self.access,
            "files": {"enabled": True},
            "pids": pids if self.doi else {},
            "custom_fields": {},
            "versions": {"index": self.index},
            "links": {
                "self": f"{url}/api/records/{self.id}",
                "self_html": f"{url}/{page}/{self.id}",
            },
        }


class State:
    """All that a service holds."""

    def __init__(self, *, knows_concepts: bool) -> None:
        self.knows_concepts = knows_concepts
        self.drafts: dict[str, Draft] = {}
        self._number = 1000

    def concepts(self) -> set[str]:
        """Return the concepts that lead to their latest version."""
        return {each.concept for each in self.drafts.values()} if self.knows_concepts else set()

    def begin(self, owner: str, concept: str = "", index: int = 1) -> Draft:
        """Begin a draft."""
        self._number += 2
        draft = Draft(self._number, concept or str(self._number - 1), owner, index)
        self.drafts[draft.id] = draft
        return draft

    def draft(self, name: str, user: str) -> Draft:
        """Return a draft of a user, or refuse."""
        draft = self.drafts.get(name)
        if draft is None or draft.is_published:
            raise Refusal(404, "The persistent identifier does not exist.")
        if draft.owner != user:
            raise Refusal(403, "Permission denied.")
        return draft

    def published(self, name: str) -> Draft:
        """Return a published version, or refuse."""
        found = self.drafts.get(name)
        if found is None:
            raise Refusal(404, "The persistent identifier does not exist.")
        if not found.is_published:
            raise Refusal(404, "The persistent identifier is not registered.")
        return found

    def latest(self, name: str) -> Draft:
        """Return the latest published version beside a version, or of a concept."""
        concept = name if name in self.concepts() else self.published(name).concept
        versions = self.versions_of(concept)
        if not versions:
            raise Refusal(404, "Failed to fetch the record versions.")
        return versions[0]

    def versions_of(self, concept: str) -> list[Draft]:
        """Return the published versions of a concept, newest first."""
        found = [d for d in self.drafts.values() if d.concept == concept and d.is_published]
        return sorted(found, key=lambda each: -each.index)

    def newest_of(self, user: str) -> list[Draft]:
        """Return the newest draft or version of each concept of a user."""
        newest: dict[str, Draft] = {}
        for each in self.drafts.values():
            if each.owner == user:
                newest[each.concept] = max(
                    each, newest.get(each.concept, each), key=lambda one: one.index
                )
        return list(newest.values())

    def new_version(self, name: str, user: str) -> Draft:
        """Return the draft of the next version; there is one a concept."""
        record = self.published(name)
        if record.owner != user:
            raise Refusal(403, "Permission denied.")
        for each in self.drafts.values():
            if each.concept == record.concept and not each.is_published:
                return each
        latest = self.latest(name)
        draft = self.begin(user, record.concept, latest.index + 1)
        draft.metadata = {k: v for k, v in latest.metadata.items() if k != "version"}
        draft.metadata["publication_date"] = datetime.now(UTC).date().isoformat()
        draft.access = latest.access
        return draft

    def publish(self, draft: Draft) -> None:
        """Publish a draft."""
        draft.is_published = True
        draft.doi = draft.doi or f"10.5072/zenodo.{draft.id}"


def require_publishable(draft: Draft) -> None:
    """Refuse a draft that lacks what a record must have."""
    _, errors = check_metadata(draft.metadata)
    if not draft.files:
        errors.append({"field": "files.enabled", "messages": ["Missing uploaded files."]})
    if not all(each.is_complete for each in draft.files.values()):
        errors.append({"field": "files", "messages": ["Files have not completed their transfer."]})
    if errors:
        refusal = Refusal(400, "A validation error occurred.")
        refusal.table["errors"] = errors
        raise refusal


def check_metadata(given: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return metadata as it is kept, and what is wrong with it."""
    faults: dict[str, str] = {}
    for name in ("title", "creators", "resource_type", "publication_date"):
        if not given.get(name):
            faults[f"metadata.{name}"] = "Missing data for required field."
    for index, each in enumerate(given.get("creators") or ()):
        who = each.get("person_or_org", {})
        needed = "name" if who.get("type") == "organizational" else "family_name"
        if not who.get(needed):
            faults[f"metadata.creators.{index}.person_or_org.{needed}"] = "Missing data."
    known = {
        "rights": LICENCES,
        "additional_descriptions": DESCRIPTIONS,
        "related_identifiers": RELATIONS,
    }
    inner = {"additional_descriptions": "type", "related_identifiers": "relation_type"}
    for name, vocabulary in known.items():
        for each in given.get(name) or ():
            value = each.get(inner[name], {}).get("id") if name in inner else each.get("id")
            if value not in vocabulary:
                faults[f"metadata.{name}"] = f"Invalid value {value}."
    if given.get("resource_type", {}).get("id", "dataset") not in RESOURCE_TYPES:
        faults["metadata.resource_type"] = "Invalid value."
    wrong = {place.split(".")[1] for place in faults}
    kept = {name: _normal(name, each) for name, each in given.items() if name not in wrong}
    return kept, [{"field": place, "messages": [fault]} for place, fault in faults.items()]


def _normal(name: str, value: Any) -> Any:
    """Return a field as it is read back: with titles and names, its HTML cleaned."""
    if name == "resource_type":
        return {**value, "title": {"en": value["id"].title()}}
    if name == "rights":
        return [{**each, "title": {"en": each["id"].upper()}} for each in value]
    if name == "description":
        return re.sub(r"<script.*?</script>", "", value).replace("<p>", "<p >")
    if name == "additional_descriptions":
        return [
            {**each, "description": html.escape(html.unescape(each["description"]), quote=False)}
            for each in value
        ]
    if name == "creators":
        return [_named(each) for each in value]
    return value


def _named(creator: dict[str, Any]) -> dict[str, Any]:
    who = dict(creator["person_or_org"])
    if who["type"] == "personal":
        who["name"] = ", ".join(filter(None, [who["family_name"], who.get("given_name")]))
    return {**creator, "person_or_org": who}
