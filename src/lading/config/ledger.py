"""What a lading.toml says of the ledger, the report, and the server that shows them."""

from pydantic import Field

from lading.config.values import Folder, LedgerUrl, Model, Variable


class Ledger(Model):
    """Where runs are recorded."""

    enabled: bool = Field(default=True, description="Whether runs are recorded at all.")
    url: LedgerUrl = Field(
        default="",
        description="URL of a PostgreSQL for a team, without a password (PGPASSWORD or a password"
        " file has it); empty: an SQLite file `ledger.db` in the work folder.",
    )
    url_variable: Variable = Field(
        default="LADING_LEDGER_URL",
        description="Environment variable whose value, where it is set, is used for `url`; it may"
        " hold a password.",
    )


class Report(Model):
    """The report of a run, one HTML file."""

    beside_release: bool = Field(
        default=False,
        description="Put `report.html` beside `release.json` of each moving prefix, at the end of"
        " a release and by `lading report`.",
    )


class Web(Model):
    """What `lading serve` serves."""

    projects: tuple[Folder, ...] = Field(
        default=(".",),
        min_length=1,
        description="Folders of projects that it publishes and shows, each with a lading.toml,"
        " from this file's.",
    )
    workers: int = Field(default=2, ge=0, le=64, description="Publishes at one time.")
    open: bool = Field(
        default=False,
        description="Whether reading needs no token; asking for a publish always needs one.",
    )
    max_body_kb: int = Field(
        default=64, ge=1, le=10_000, description="Size that a request may have, in kilobytes."
    )
    reads_per_minute: int = Field(
        default=6000, ge=1, description="Requests a minute of one token, or of one address."
    )
    writes_per_minute: int = Field(
        default=600, ge=1, description="Requests a minute of one token that ask for something."
    )
    streams: int = Field(default=200, ge=1, description="Live streams at one time.")
    job_timeout_minutes: int = Field(
        default=720, ge=1, description="Minutes after which a publish is ended."
    )
