"""What a lading.toml may say of ledger, report and server."""

from typing import Any

import pytest

from lading.config.load import parse_config
from lading.config.models import Config
from lading.errors import ConfigError

BASE: dict[str, Any] = {
    "project": {"name": "demo"},
    "source": {"url": "source"},
    "destinations": {"gcs": {"url": "clouds/gcs"}},
    "channels": {"nightly": {"tag": "n", "prefixes": ["nightly"]}},
}


def parse(**tables: Any) -> Config:
    """Parse a configuration with further tables."""
    return parse_config({**BASE, **tables}, "lading.toml")


def test_defaults() -> None:
    """A ledger in a file, no report, a server that wants tokens."""
    config = parse()
    assert config.ledger.enabled
    assert config.ledger.url == ""
    assert config.ledger.url_variable == "LADING_LEDGER_URL"
    assert not config.report.beside_release
    assert not config.web.open
    assert config.web.projects == (".",)


@pytest.mark.parametrize(
    "url",
    ["postgresql://robot@db.example.org/lading", "postgres:///lading?host=sockets", ""],
)
def test_good_url(url: str) -> None:
    """A PostgreSQL by URL, with a user and without a password."""
    assert parse(ledger={"url": url}).ledger.url == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://robot:secret@db.example.org/lading",
        "mysql://db.example.org/lading",
        "sqlite:///ledger.db",
        "db.example.org",
        "postgresql://a@b@c/lading",
    ],
)
def test_bad_url(url: str) -> None:
    """A password in the configuration, or another database, is refused in one line."""
    with pytest.raises(ConfigError) as refused:
        parse(ledger={"url": url})
    assert "ledger.url: expected a URL such as" in str(refused.value)
    assert "without a password" in str(refused.value)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"web": {"workers": -1}}, "web.workers"),
        ({"web": {"projects": []}}, "web.projects"),
        ({"web": {"max_body_kb": 0}}, "web.max_body_kb"),
        ({"ledger": {"url_variable": "no-name"}}, "ledger.url_variable"),
        ({"report": {"beside": True}}, "report.beside"),
    ],
)
def test_bad_value(table: dict[str, Any], told: str) -> None:
    """Each is told with its place."""
    with pytest.raises(ConfigError, match=told):
        parse(**table)
