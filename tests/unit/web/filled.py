"""A ledger that tells of a month: nightlies, a stable release, what failed, what runs."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lading.ledger import record
from lading.ledger.ledger import Ledger
from lading.ledger.model import (
    ArtifactRow,
    Progress,
    ReceiptRow,
    ReleaseRow,
    RunStart,
    Step,
    StepState,
    Target,
)
from lading.storage.owner import name_process

NIGHTS = 30
FIRST_NIGHT = datetime(2025, 1, 7, 3, 0, tzinfo=UTC)
PROJECT, TITLE = "iowa-energy", "Electricity and weather of Iowa"
ERROR = "s3/.lading/objects/5f3a: expected 201, got 503 SlowDown after 6 tries"
RESUME = "doit distribute type=nightly tag=nightly-2025-02-06 staging=1"
FAILED_RUN = "20250206T030000-00000000f1"
RUNNING_RUN = "20250206T040000-00000000a1"
ABORTED_RUN = "20250206T020000-00000000d1"
STABLE_RUN = "20250203T120000-00000000b1"
STABLE_DOI = "10.5281/zenodo.1234567"
MB = 1_000_000


def digest_of(text: str) -> str:
    """Return the sha256 of a text, as a digest of what it names."""
    return hashlib.sha256(text.encode()).hexdigest()


def run_of_night(night: int) -> str:
    """Return the name of the run of a night, from 0 on."""
    return f"{FIRST_NIGHT + timedelta(days=night):%Y%m%dT%H%M%S}-{night:010x}"


def tag_of_night(night: int) -> str:
    """Return the tag of a night."""
    return f"nightly-{FIRST_NIGHT + timedelta(days=night):%Y-%m-%d}"


def files_of_night(night: int) -> list[ArtifactRow]:
    """Return the files of a night: one grows each night, one seldom changes, one came late."""
    energy = {"plants": 900 + night, "generation": 120_000 + 4_310 * night}
    files = [
        make_file("iowa_energy.sqlite.zip", 9 * MB + 210_000 * night, f"energy {night}", energy),
        make_file("weather.sqlite.zip", 3 * MB, f"weather {night // 7}", {"hourly": 70_000}),
        make_file("out_eia923__monthly_generation.parquet", 800_000, "parquet", {"rows": 4_000}),
        make_file("iowa_parquet_datapackage.json", 2_114, "package"),
    ]
    if night >= 20:
        files.append(make_file("notes.json", 812, f"notes {night}"))
    if night == NIGHTS - 1:  # the table that a person should look at
        files[1] = make_file("weather.sqlite.zip", 2 * MB, "weather cut", {"hourly": 45_210})
    return files


def make_file(
    key: str, size_bytes: int, bytes_: str, rows: Mapping[str, int] | None = None
) -> ArtifactRow:
    """Make a file."""
    return ArtifactRow(
        key=key,
        size_bytes=size_bytes,
        sha256=digest_of(f"{key} {bytes_}"),
        media_type="application/zip" if key.endswith(".zip") else "application/octet-stream",
        rows=rows or {},
    )


def make_start(run_id: str, at: datetime, **facts: object) -> RunStart:
    """Make the start of a nightly release."""
    start = RunStart(
        run_id=run_id,
        kind="distribute",
        project=PROJECT,
        title=TITLE,
        channel="nightly",
        tag=f"nightly-{at:%Y-%m-%d}",
        environment="production",
        is_release=True,
        command=f"doit distribute type=nightly tag=nightly-{at:%Y-%m-%d}",
        tool_version="0.9.0",
        commit="3473f06" * 5 + "34731",
        config_sha256=digest_of("lading.toml"),
        ci_url="https://ci.example.org/runs/4711",
        owner="process 4711 on builder",
        process=name_process(),
        started_at=at,
        targets=make_targets(),
    )
    return replace(start, **facts)  # type: ignore[arg-type]


def make_targets(
    state: StepState = "not reached", verified_at: datetime | None = None
) -> tuple[Target, ...]:
    """Make the matrix of a release to two clouds."""
    urls = {
        "gcs": "https://storage.googleapis.com/example-bucket",
        "s3": "https://example-bucket.s3.amazonaws.com",
    }
    rows = []
    for kind, name in (("upload", ""), ("promote", "nightly"), ("promote", "eel-hole")):
        for cloud, url in urls.items():
            rows.append(
                Target(
                    task=f"{kind}:{cloud}-{name or 'nightly'}",
                    kind=kind,
                    destination=cloud,
                    name=name,
                    planned_files=5,
                    planned_bytes=19 * MB,
                    state=state,
                    verified_at=verified_at,
                    url=f"{url}/{name}/" if name else "",
                )
            )
    rows.append(Target(task="git_merge", kind="git_merge", name="nightly", state=state))
    return tuple(rows)


STEPS = (
    ("fetch", 0.0, 1.5),
    ("check", 1.5, 4.0),
    ("compress_sqlite:iowa_energy.sqlite", 5.5, 40.0),
    ("compress_sqlite:weather.sqlite", 5.5, 18.0),
    ("zip_parquet:iowa_parquet", 23.5, 3.0),
    ("manifest", 45.5, 0.4),
    ("upload:gcs-nightly", 46.0, 61.0),
    ("upload:s3-nightly", 46.0, 74.0),
    ("promote:gcs-nightly", 120.0, 4.0),
    ("promote:s3-nightly", 120.0, 6.0),
    ("promote:gcs-eel-hole", 120.0, 4.1),
    ("promote:s3-eel-hole", 120.0, 6.2),
    ("git_merge", 127.0, 2.5),
)


def write_steps(ledger: Ledger, run_id: str, at: datetime, *, until: str = "") -> None:
    """Write the steps of a release that ended well, up to one that is not written."""
    for position, (task, begin_s, took_s) in enumerate(STEPS):
        if task == until:
            return
        begin = at + timedelta(seconds=begin_s)
        end = begin + timedelta(seconds=took_s)
        step = Step(
            task=task,
            state="done",
            detail="5 files, 19.2 MB" if task.startswith("upload") else "",
            started_at=begin,
            ended_at=end,
            progress=Progress(percent=100.0),
        )
        record.write_step(ledger, run_id, 1, position, step, end)


def write_night(ledger: Ledger, night: int, *, steps: bool = False) -> ReleaseRow:
    """Write a night's release that ended well."""
    at = FIRST_NIGHT + timedelta(days=night)
    run_id, files = run_of_night(night), files_of_night(night)
    manifest, end = digest_of(f"night {night}"), at + timedelta(seconds=130)
    start = make_start(run_id, at, targets=make_targets("done", end))
    record.begin_run(ledger, start)
    if steps:
        write_steps(ledger, run_id, at)
    record.write_manifest(ledger, run_id, manifest, files)
    receipts = [
        ReceiptRow(
            task=each.task,
            place=f"{each.destination}://example-bucket/{each.name}",
            manifest_sha256=manifest,
            proved_at=end,
            objects=5,
            size_bytes=19 * MB,
        )
        for each in start.targets
    ]
    record.write_receipts(ledger, run_id, receipts if steps else receipts[:1])
    release = ReleaseRow(
        project=PROJECT,
        channel="nightly",
        tag=tag_of_night(night),
        environment="production",
        manifest_sha256=manifest,
        published_at=end,
        run_id=run_id,
        url="https://storage.googleapis.com/example-bucket/nightly/release.json",
        files=len(files),
        size_bytes=sum(each.size_bytes for each in files),
        commit=start.commit,
    )
    record.write_release(ledger, release)
    record.write_progress(ledger, run_id, 1, Progress(percent=100.0), (), end)
    record.end_run(ledger, run_id, state="completed", exit_code=0, failed_at="", error="", at=end)
    return release


def write_failed(ledger: Ledger) -> None:
    """Write a staging release that failed at one of its uploads."""
    at = datetime(2025, 2, 6, 3, 0, tzinfo=UTC)
    record.begin_run(
        ledger,
        make_start(FAILED_RUN, at, environment="staging", command=RESUME),
    )
    write_steps(ledger, FAILED_RUN, at, until="upload:s3-nightly")
    begin, end = at + timedelta(seconds=46), at + timedelta(seconds=95)
    failed = Step(
        task="upload:s3-nightly", state="failed", detail=ERROR, started_at=begin, ended_at=end
    )
    record.write_step(ledger, FAILED_RUN, 1, 7, failed, end)
    for position, (task, _, _) in enumerate(STEPS[8:], 8):
        unreached = Step(task=task, state="not reached", detail="needs upload:s3-nightly")
        record.write_step(ledger, FAILED_RUN, 1, position, unreached, end)
    targets = [replace(each, state="not reached") for each in make_targets()]
    targets[0] = replace(targets[0], state="done", verified_at=end)
    targets[1] = replace(targets[1], state="failed", note="3 of 5 files are there")
    targets[-1] = replace(targets[-1], state="skipped", note="staging moves no branch")
    record.write_targets(ledger, FAILED_RUN, targets)
    lines = [(begin + timedelta(seconds=i), 20, "fetch", f"line {i} of fetch") for i in range(30)]
    lines += [
        (begin + timedelta(seconds=30 + i), level, "upload:s3-nightly", text)
        for i, (level, text) in enumerate(
            [(20, "sending 3 objects"), (30, "503 SlowDown, trying again in 4 s"), (40, ERROR)]
        )
    ]
    record.write_logs(ledger, FAILED_RUN, lines)
    record.write_manifest(ledger, FAILED_RUN, digest_of("night 29"), files_of_night(29))
    record.end_run(
        ledger,
        FAILED_RUN,
        state="failed",
        exit_code=1,
        failed_at="upload:s3-nightly",
        error=ERROR,
        at=end,
    )


def write_running(
    ledger: Ledger, run_id: str = RUNNING_RUN, *, percent: float = 42.4, process: str = ""
) -> None:
    """Write a release that is at its uploads now."""
    now = datetime.now(UTC)
    at = now - timedelta(seconds=70)
    facts = {"tag": f"nightly-{now:%Y-%m-%d}", "process": process or name_process()}
    record.begin_run(ledger, make_start(run_id, at, **facts))
    write_steps(ledger, run_id, at, until="upload:gcs-nightly")
    done = Progress(
        percent=percent,
        done_bytes=8 * MB,
        size_bytes=19 * MB,
        done_files=2,
        files=5,
        rate_bytes_s=0.4 * MB,
        left_s=27.0,
    )
    steps = [
        Step(
            task=f"upload:{cloud}-nightly",
            state="running",
            started_at=now - timedelta(seconds=20 + 2 * index),
            progress=replace(done, percent=percent + index),
        )
        for index, cloud in enumerate(("gcs", "s3"))
    ]
    for position, step in enumerate(steps, 6):
        record.write_step(ledger, run_id, 1, position, step, now)
    record.write_progress(ledger, run_id, 1, done, steps, now)
    record.write_targets(
        ledger, run_id, [replace(each, state="running") for each in make_targets()[:2]]
    )
    lines = [(now, 20, "upload:gcs-nightly", f"object {i} is there") for i in range(12)]
    record.write_logs(ledger, run_id, lines)


def write_stable(ledger: Ledger) -> None:
    """Write a stable release with a DOI."""
    at = datetime(2025, 2, 3, 12, 0, tzinfo=UTC)
    end, files = at + timedelta(minutes=4), files_of_night(25)
    start = make_start(STABLE_RUN, at, channel="stable", tag="v2025.2.0", targets=())
    record.begin_run(ledger, start)
    manifest = digest_of("stable")
    record.write_manifest(ledger, STABLE_RUN, manifest, files, doi=STABLE_DOI)
    record.write_release(
        ledger,
        ReleaseRow(
            project=PROJECT,
            channel="stable",
            tag="v2025.2.0",
            environment="production",
            manifest_sha256=manifest,
            published_at=end,
            run_id=STABLE_RUN,
            url="https://storage.googleapis.com/example-bucket/v2025.2.0/release.json",
            files=len(files),
            size_bytes=sum(each.size_bytes for each in files),
            doi=STABLE_DOI,
            commit=start.commit,
        ),
    )
    record.end_run(
        ledger, STABLE_RUN, state="completed", exit_code=0, failed_at="", error="", at=end
    )


def fill(ledger: Ledger, *, nights: int = NIGHTS) -> None:
    """Write the whole month, but for what runs."""
    for night in range(NIGHTS - nights, NIGHTS):
        write_night(ledger, night, steps=night == NIGHTS - 1)
    write_stable(ledger)
    write_failed(ledger)
