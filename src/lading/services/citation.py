"""What a deposit says of itself, in InvenioRDM's words: lading.toml, .zenodo.json, CITATION.cff.

Zenodo ignores CITATION.cff where there is a .zenodo.json, and so do we; what lading.toml says in
[metadata] goes before both. Source: InvenioRDM documentation, "Metadata reference"; Zenodo's
"Describe software with .zenodo.json"; Citation File Format 1.2.0.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from lading.config.models import Metadata, Person
from lading.errors import ConfigError

ZENODO_JSON, CITATION_CFF, LADING_TOML = ".zenodo.json", "CITATION.cff", "lading.toml [metadata]"
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")
_OLD_LICENCES = {"cc-zero": "cc0-1.0", "cc-by": "cc-by-4.0", "cc-by-sa": "cc-by-sa-4.0"}
_SHORTEST = 3  # letters of a title or a description


@dataclass(slots=True)
class _Found:
    """Metadata in InvenioRDM's shape, and what was wrong on the way there."""

    table: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, value: Any) -> None:
        """Keep a field that says something."""
        if value:
            self.table[name] = value


def load_metadata(given: Metadata, folder: Path) -> dict[str, Any]:
    """Load what all releases say of themselves, in InvenioRDM's shape.

    Args:
        given: [metadata] of lading.toml; each of its fields goes before the files.
        folder: where .zenodo.json or CITATION.cff may stand.

    Raises:
        ConfigError: with a line for each field that is missing or wrong.
    """
    found = _load_file(folder)
    own = _from_config(given)
    problems = [*found.problems, *own.problems]
    table = {**found.table, **own.table}
    place = f"{LADING_TOML}, {ZENODO_JSON} or {CITATION_CFF} in {folder}"
    for name in ("title", "creators"):
        if not table.get(name) and not any(f" {name}" in each for each in problems):
            problems.append(f"{place}: expected {name}, found none")
    problems += [
        f"{place}: expected a {name} of three letters or more, got {table[name]!r}"
        for name in ("title", "description")
        if table.get(name) and len(table[name]) < _SHORTEST
    ]
    if problems:
        raise ConfigError(problems)
    return {**table, "resource_type": {"id": "dataset"}, "publisher": given.publisher}


def relate(
    metadata: Mapping[str, Any], *, github: str, tag: str, urls: Sequence[str]
) -> dict[str, Any]:
    """Return metadata that names the code of a release, and where else its files are.

    Args:
        metadata: in InvenioRDM's shape.
        github: repository as owner/name; "" where there is none.
        tag: the git tag.
        urls: https URLs of public prefixes; "" is left out.
    """
    related = list(metadata.get("related_identifiers", ()))
    if github:
        link = f"https://github.com/{github}/tree/{quote(tag, safe='/')}"
        related.append(_relation(link, "issupplementedby", "software"))
    # the deposit may lack some of the files, and has them without folders
    links = dict.fromkeys(filter(None, urls))
    related += [_relation(each, "isvariantformof", "dataset") for each in links]
    return {**metadata, "related_identifiers": related} if related else dict(metadata)


def _relation(link: str, relation: str, kind: str) -> dict[str, Any]:
    return {
        "identifier": link,
        "scheme": "url",
        "relation_type": {"id": relation},
        "resource_type": {"id": kind},
    }


def _load_file(folder: Path) -> _Found:
    readers: dict[str, tuple[Callable[[bytes], Any], Callable[[str, Any], _Found]]] = {
        ZENODO_JSON: (json.loads, _from_zenodo),
        CITATION_CFF: (yaml.safe_load, _from_citation),
    }
    for name, (parse, read) in readers.items():
        try:
            table = parse((folder / name).read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError, yaml.YAMLError) as error:
            told = " ".join(str(error).split())
            return _Found(problems=[f"{name}: expected a file that can be read, got {told!r}"])
        if not isinstance(table, dict):
            kind = type(table).__name__
            return _Found(problems=[f"{name}: expected a table of fields, got {kind}"])
        return read(name, table)
    return _Found()


def _from_config(given: Metadata) -> _Found:
    found = _Found()
    found.add("title", given.title)
    found.add("description", _as_html(given.description))
    people = [(f"{LADING_TOML}.creators[{i}]", each) for i, each in enumerate(given.creators)]
    found.add("creators", [_creator(place, each, found) for place, each in people])
    found.add("subjects", [{"subject": each} for each in given.keywords])
    found.add("rights", _rights([given.license]))
    return found


def _from_zenodo(name: str, table: Mapping[str, Any]) -> _Found:
    found = _Found()
    found.add("title", _text(name, table, "title", found))
    found.add("description", _text(name, table, "description", found))
    found.add(
        "creators", [_zenodo_person(*each, found) for each in _rows(name, table, "creators", found)]
    )
    found.add("subjects", _subjects(name, table, found))
    licence = table.get("license", "")
    found.add("rights", _rights([licence.get("id", "") if isinstance(licence, dict) else licence]))
    contributors = _rows(name, table, "contributors", found)
    found.add("contributors", [_contributor(*each, found) for each in contributors])
    related = _rows(name, table, "related_identifiers", found)
    found.add("related_identifiers", [_related(*each, found) for each in related])
    notes = _text(name, table, "notes", found)
    if notes:
        found.add("additional_descriptions", [{"description": notes, "type": {"id": "other"}}])
    return found


def _from_citation(name: str, table: Mapping[str, Any]) -> _Found:
    found = _Found()
    found.add("title", _text(name, table, "title", found))
    found.add("description", _as_html(_text(name, table, "abstract", found)))
    found.add(
        "creators", [_cff_person(*each, found) for each in _rows(name, table, "authors", found)]
    )
    found.add("subjects", _subjects(name, table, found))
    licence = table.get("license", "")
    found.add("rights", _rights(licence if isinstance(licence, list) else [licence]))
    return found


def _zenodo_person(place: str, row: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    return _person(place, row, found, name=str(row.get("name", "")))


def _cff_person(place: str, row: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    if "family-names" not in row and "given-names" not in row:  # then it is an entity
        name = str(row.get("name") or row.get("alias") or "")
        return _person(place, row, found, name=name, organisation="name" in row)
    particle = str(row.get("name-particle") or "")
    family = f"{particle} {row.get('family-names') or ''}".strip()
    return _person(place, row, found, name=f"{family}, {row.get('given-names') or ''}")


def _person(
    place: str, row: Mapping[str, Any], found: _Found, *, name: str, organisation: bool = False
) -> dict[str, Any]:
    given = str(row.get("orcid") or "")
    orcid = _ORCID.fullmatch(given)
    if given and not orcid:
        found.problems.append(f"{place}.orcid: expected an ORCID, got {given!r}")
    person = Person(
        name=name,
        orcid=orcid[1] if orcid else "",
        affiliation=str(row.get("affiliation") or ""),
        organisation=organisation,
    )
    return _creator(place, person, found)


def _creator(place: str, person: Person, found: _Found) -> dict[str, Any]:
    """Return a person or an organisation as InvenioRDM has it."""
    family, _, given = (each.strip() for each in person.name.partition(","))
    if not family:
        found.problems.append(f"{place}.name: expected 'Family, Given', got {person.name!r}")
    who: dict[str, Any] = {"type": "organizational", "name": person.name.strip()}
    if not person.organisation:
        who = {"type": "personal", "family_name": family}
        who |= {"given_name": given} if given else {}
    if person.orcid:
        if not _has_right_digit(person.orcid):
            found.problems.append(
                f"{place}.orcid: expected an ORCID whose last digit fits, got {person.orcid!r}"
            )
        who["identifiers"] = [{"scheme": "orcid", "identifier": person.orcid}]
    row: dict[str, Any] = {"person_or_org": who}
    return {**row, "affiliations": [{"name": person.affiliation}]} if person.affiliation else row


def _contributor(place: str, row: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    role = str(row.get("type") or "Other").lower()
    return {**_zenodo_person(place, row, found), "role": {"id": role}}


def _related(place: str, row: Mapping[str, Any], found: _Found) -> dict[str, Any]:
    identifier, relation = str(row.get("identifier") or ""), str(row.get("relation") or "")
    if not identifier or not relation:
        found.problems.append(f"{place}: expected identifier and relation, got {dict(row)!r}")
    scheme = row.get("scheme") or ("doi" if re.match(r"10\.\d+/", identifier) else "url")
    table: dict[str, Any] = {
        "identifier": identifier,
        "scheme": str(scheme).lower(),
        "relation_type": {"id": relation.lower()},
    }
    kind = row.get("resource_type")
    return {**table, "resource_type": {"id": str(kind).lower()}} if kind else table


def _subjects(name: str, table: Mapping[str, Any], found: _Found) -> list[dict[str, str]]:
    words = table.get("keywords") or []
    if not isinstance(words, list):
        found.problems.append(f"{name}: keywords: expected a list, got {words!r}")
        return []
    return [{"subject": str(each)} for each in words]


def _rows(
    name: str, table: Mapping[str, Any], key: str, found: _Found
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = table.get(key) or []
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        found.problems.append(f"{name}: {key}: expected a list of tables, got {rows!r}")
        return
    for index, row in enumerate(rows):
        yield f"{name}: {key}[{index}]", row


def _text(name: str, table: Mapping[str, Any], key: str, found: _Found) -> str:
    value = table.get(key) or ""
    if not isinstance(value, str):
        found.problems.append(f"{name}: {key}: expected a text, got {value!r}")
        return ""
    return value.strip()


def _rights(names: Sequence[Any]) -> list[dict[str, str]]:
    ids = [str(each).strip().lower() for each in names if str(each or "").strip()]
    return [{"id": _OLD_LICENCES.get(each, each)} for each in ids]


def _as_html(text: str) -> str:
    """Return a text as HTML, which a description is; one that is HTML already stays as it is."""
    if not text or re.search(r"<[a-zA-Z/][^<>]*>", text):
        return text
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "".join(
        f"<p>{html.escape(' '.join(each.split()), quote=False)}</p>" for each in paragraphs
    )


def _has_right_digit(orcid: str) -> bool:
    """Source: ISO/IEC 7064, MOD 11-2, as ORCID describes it."""
    digits = orcid.replace("-", "")
    total = 0
    for each in digits[:-1]:
        total = (total + int(each)) * 2
    return digits[-1] == "0123456789X"[(12 - total % 11) % 11]
