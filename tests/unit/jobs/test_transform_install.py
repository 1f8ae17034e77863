"""``transform`` where its engine is not installed."""

import sys
from pathlib import Path

import pytest

from lading.cli import main


def test_without_duckdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing engine is a setting that is wrong: one line, no trace, and no further try."""
    for name in [each for each in sys.modules if each.startswith("lading.jobs.transform.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bronze").mkdir()
    (tmp_path / "bronze" / "a.csv").write_text("id\n1\n")
    (tmp_path / "s.toml").write_text(
        'format = "csv"\n[[columns]]\nname = "id"\ntype = "int64"\n', encoding="utf-8"
    )
    places = ["--schema", "s.toml", "--source", "bronze", "--destination", "silver"]
    assert main(["run", "transform", "--log", "text", "--", *places]) == 78
    said = capsys.readouterr().out
    assert "expected the package duckdb, found none; install lading[jobs]" in said
    assert "Traceback" not in said
