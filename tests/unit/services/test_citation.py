"""What a deposit says of itself, from lading.toml, .zenodo.json and CITATION.cff."""

import json
from pathlib import Path
from typing import Any

import pytest

from lading.config.models import Metadata, Person
from lading.errors import ConfigError
from lading.services.citation import load_metadata, relate

ORCID = "0000-0002-1825-0097"
CFF = f"""\
cff-version: 1.2.0
title: Energy data
abstract: |
  First line
  goes on.

  Second & last.
authors:
  - family-names: Berg
    given-names: Jo
    name-particle: van den
    orcid: https://orcid.org/{ORCID}
    affiliation: The Institute
  - name: Open Data Team
keywords: [energy, weather]
license: CC-BY-4.0
"""
ZENODO: dict[str, Any] = {
    "title": "From Zenodo",
    "description": "<b>All</b>",
    "upload_type": "software",
    "creators": [{"name": "Doe, Jo", "orcid": ORCID}, {"name": "Prince"}],
    "contributors": [{"name": "Roe, Ann", "type": "DataCurator"}],
    "keywords": ["one"],
    "license": {"id": "cc-zero"},
    "notes": "Be kind",
    "related_identifiers": [
        {"identifier": "10.1234/abc", "relation": "isDocumentedBy", "resource_type": "other"}
    ],
}
NONE = Metadata()


def write(folder: Path, *, cff: str = "", zenodo: Any = None) -> Path:
    """Write the files of a repository."""
    if cff:
        (folder / "CITATION.cff").write_text(cff)
    if zenodo is not None:
        (folder / ".zenodo.json").write_text(json.dumps(zenodo))
    return folder


def test_citation_cff_is_read(tmp_path: Path) -> None:
    """People, organisations, words and the licence come in InvenioRDM's shape."""
    assert load_metadata(NONE, write(tmp_path, cff=CFF)) == {
        "title": "Energy data",
        "description": "<p>First line goes on.</p><p>Second &amp; last.</p>",
        "creators": [
            {
                "person_or_org": {
                    "type": "personal",
                    "family_name": "van den Berg",
                    "given_name": "Jo",
                    "identifiers": [{"scheme": "orcid", "identifier": ORCID}],
                },
                "affiliations": [{"name": "The Institute"}],
            },
            {"person_or_org": {"type": "organizational", "name": "Open Data Team"}},
        ],
        "subjects": [{"subject": "energy"}, {"subject": "weather"}],
        "rights": [{"id": "cc-by-4.0"}],
        "resource_type": {"id": "dataset"},
        "publisher": "Zenodo",
    }


def test_zenodo_json_wins_over_citation_cff(tmp_path: Path) -> None:
    """Where there is a .zenodo.json, nothing of CITATION.cff is used, as at Zenodo."""
    found = load_metadata(NONE, write(tmp_path, cff=CFF, zenodo=ZENODO))
    assert found == {
        "title": "From Zenodo",
        "description": "<b>All</b>",
        "creators": [
            {
                "person_or_org": {
                    "type": "personal",
                    "family_name": "Doe",
                    "given_name": "Jo",
                    "identifiers": [{"scheme": "orcid", "identifier": ORCID}],
                }
            },
            {"person_or_org": {"type": "personal", "family_name": "Prince"}},
        ],
        "contributors": [
            {
                "person_or_org": {
                    "type": "personal",
                    "family_name": "Roe",
                    "given_name": "Ann",
                },
                "role": {"id": "datacurator"},
            }
        ],
        "subjects": [{"subject": "one"}],
        "rights": [{"id": "cc0-1.0"}],
        "related_identifiers": [
            {
                "identifier": "10.1234/abc",
                "scheme": "doi",
                "relation_type": {"id": "isdocumentedby"},
                "resource_type": {"id": "other"},
            }
        ],
        "additional_descriptions": [{"description": "Be kind", "type": {"id": "other"}}],
        "resource_type": {"id": "dataset"},
        "publisher": "Zenodo",
    }


def test_lading_toml_wins_field_by_field(tmp_path: Path) -> None:
    """A field of [metadata] replaces that of the files, and leaves the others."""
    given = Metadata(
        title="Mine",
        creators=(Person(name="Team", organisation=True),),
        license="MIT",
        publisher="The Institute",
    )
    found = load_metadata(given, write(tmp_path, cff=CFF))
    assert found["title"] == "Mine"
    assert found["creators"] == [{"person_or_org": {"type": "organizational", "name": "Team"}}]
    assert found["rights"] == [{"id": "mit"}]
    assert found["publisher"] == "The Institute"
    assert found["subjects"] == [{"subject": "energy"}, {"subject": "weather"}]


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    """Title and creators are required, wherever they are looked for."""
    with pytest.raises(ConfigError) as caught:
        load_metadata(NONE, tmp_path)
    assert [each.partition(": ")[2] for each in caught.value.problems] == [
        "expected title, found none",
        "expected creators, found none",
    ]
    assert ".zenodo.json or CITATION.cff" in caught.value.problems[0]


def test_all_that_is_wrong_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    """Each wrong field has a line with its file and its place."""
    wrong = {
        "title": ["no"],
        "creators": [{"name": ""}, {"name": "Doe, Jo", "orcid": "12"}],
        "keywords": "one, two",
        "contributors": "nobody",
        "related_identifiers": [{"identifier": "10.1/2"}],
    }
    with pytest.raises(ConfigError) as caught:
        load_metadata(
            Metadata(creators=(Person(name="Doe, Jo", orcid="0000-0002-1825-0098"),)),
            write(tmp_path, zenodo=wrong),
        )
    assert list(caught.value.problems) == [
        ".zenodo.json: title: expected a text, got ['no']",
        ".zenodo.json: creators[0].name: expected 'Family, Given', got ''",
        ".zenodo.json: creators[1].orcid: expected an ORCID, got '12'",
        ".zenodo.json: keywords: expected a list, got 'one, two'",
        ".zenodo.json: contributors: expected a list of tables, got 'nobody'",
        (
            ".zenodo.json: related_identifiers[0]: expected identifier and relation,"
            " got {'identifier': '10.1/2'}"
        ),
        (
            "lading.toml [metadata].creators[0].orcid: expected an ORCID whose last digit fits,"
            " got '0000-0002-1825-0098'"
        ),
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (".zenodo.json", "{", ".zenodo.json: expected a file that can be read"),
        (".zenodo.json", "[]", ".zenodo.json: expected a table of fields, got list"),
        ("CITATION.cff", "a: [", "CITATION.cff: expected a file that can be read"),
        ("CITATION.cff", "", "CITATION.cff: expected a table of fields, got NoneType"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    """A file that is there and broken is never passed over."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_metadata(NONE, tmp_path)
    assert caught.value.problems[0].startswith(told)
    assert all("\n" not in each for each in caught.value.problems)


def test_the_code_and_the_buckets_are_related() -> None:
    """A reader finds the code of the tag, and where else the files are."""
    before = {"title": "T", "related_identifiers": [{"identifier": "10.1/2"}]}
    urls = ["https://b.example/v1", "", "https://b.example/v1", "https://x.example/v1"]
    found = relate(before, github="owner/name", tag="v1#2", urls=urls)
    assert before["related_identifiers"] == [{"identifier": "10.1/2"}]
    rows = [
        (each["identifier"], each.get("relation_type", {}).get("id"))
        for each in found["related_identifiers"]
    ]
    assert rows == [
        ("10.1/2", None),
        ("https://github.com/owner/name/tree/v1%232", "issupplementedby"),
        ("https://b.example/v1", "isvariantformof"),
        ("https://x.example/v1", "isvariantformof"),
    ]
    assert relate({"title": "T"}, github="", tag="v1", urls=[]) == {"title": "T"}
