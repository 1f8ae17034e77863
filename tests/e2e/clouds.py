"""A project whose destinations are buckets, and all that such a bucket holds, read over HTTP."""

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree as ET

import urllib3

from tests.e2e.forked import ForkedDoit
from tests.e2e.project import CLOUDS, CONFIG, DODO, REPOSITORY, Project, make_build

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/aws-config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/aws-credentials",
}
READER = {"Authorization": "AWS reader:unsigned"}
"""With none at all moto takes every object for private."""
SCHEMES = {"gcs": "gs", "s3": "s3"}
TIMES = ".lading/history/"
"""What is left out of comparisons: its names are moments."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as a stranger finds it."""

    sha256: str
    size_bytes: int
    media_type: str
    cache_control: str
    told_sha256: str
    """What its metadata calls its sha256."""
    held: bool = field(compare=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that a cloud was asked."""

    operation: str
    key: str
    prefix: str
    """Of a listing."""
    at: float = field(default=0.0, compare=False)
    """When it arrived, in seconds since 1970."""


class CloudServers:
    """The two fakes in a process of their own, from ``with`` to its end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.clouds"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._turn = threading.Lock()
        assert self._process.stdout is not None
        self.urls: dict[str, str] = json.loads(self._process.stdout.readline())
        self.http = urllib3.PoolManager(num_pools=4, maxsize=8, retries=False)
        self.doit = ForkedDoit()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.clear()
        self.doit.close()
        self._process.communicate(timeout=30)

    def order(self, cloud: str, **order: Any) -> Any:
        """Let a cloud do something, and return what it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps({"cloud": cloud, **order}) + "\n")
            self._process.stdin.flush()
            said = json.loads(self._process.stdout.readline())
        if "error" in said:
            raise AssertionError(said["error"])
        return said["answer"]

    def call(self, cloud: str, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of a fake."""
        return self.order(cloud, call=method, args=arguments, options=options)

    def change(self, cloud: str, attribute: str, value: Any) -> None:
        """Set an attribute of a fake."""
        self.order(cloud, set=attribute, value=value)

    def take_seen(self) -> dict[str, list[Seen]]:
        """Return by cloud what it was asked since the last time."""
        return {c: [Seen(*row) for row in self.call(c, "take_seen")] for c in CLOUDS}

    def relax(self) -> None:
        """Let the fakes refuse nothing any more."""
        for cloud in CLOUDS:
            self.call(cloud, "relax")


@dataclass(frozen=True)
class Place:
    """A folder of a bucket of one cloud, read as a stranger would."""

    servers: CloudServers
    cloud: str
    bucket: str
    below: str = ""
    """What its names begin with, "" or ending in a slash."""

    @property
    def url(self) -> str:
        """The place, as lading.toml names it."""
        return f"{SCHEMES[self.cloud]}://{self.bucket}/{self.below}".rstrip("/")

    def read(self, key: str) -> bytes | None:
        """Return the bytes of an object, or None where there is none."""
        found = self._get(key)
        return None if found is None else found.data

    def write(self, key: str, data: bytes) -> None:
        """Put an object there as somebody else would, with neither checksum nor metadata."""
        base, name = self.servers.urls[self.cloud], self._name(key)
        method, url = "PUT", f"{base}/{self.bucket}/{quote(name, safe='/')}"
        if self.cloud == "gcs":
            query = f"uploadType=media&name={quote(name, safe='')}"
            method, url = "POST", f"{base}/upload/storage/v1/b/{self.bucket}/o?{query}"
        headers = {**READER, "Content-Type": "text/plain"}
        reply = self.servers.http.request(method, url, body=data, headers=headers)
        assert reply.status == 200, reply.data

    def begin_upload(self, key: str) -> None:
        """Begin an upload in parts on S3, as this program begins them, and leave it."""
        url = f"{self.servers.urls['s3']}/{self.bucket}/{quote(self._name(key))}?uploads"
        checksum = {"x-amz-checksum-algorithm": "CRC32C", "x-amz-checksum-type": "FULL_OBJECT"}
        reply = self.servers.http.request("POST", url, headers={**READER, **checksum})
        assert reply.status == 200, reply.data

    def exists(self, key: str) -> bool:
        """Say whether an object stands, without reading it."""
        return (
            self._get(key, method="HEAD" if self.cloud == "s3" else "GET", media=False) is not None
        )

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below a prefix, sorted."""
        return sorted(key for key, _ in self._list(prefix))

    def versions(self, prefix: str = "") -> dict[str, str]:
        """Return by key what changes with the bytes: the ETag on S3, the generation on GCS."""
        return {key: str(each["version"]) for key, each in self._list(prefix)}

    def sha256(self, key: str) -> tuple[str, str]:
        """Return version and sha256 of an object, both of one read; "" where there is none."""
        reply = self._get(key)
        if reply is None:
            return "", ""
        name = "x-goog-generation" if self.cloud == "gcs" else "ETag"
        return reply.headers[name].strip('"'), hashlib.sha256(reply.data).hexdigest()

    def control_keys(self, part: str) -> list[str]:
        """Return the keys of the control folder of either environment with a part in them."""
        return [key for key in self.keys() if f".lading/{part}" in key]

    def objects(self, *, leave_out: str = TIMES) -> dict[str, Stored]:
        """Return all that it holds, by key."""
        return {
            key: self._stored(key, resource)
            for key, resource in sorted(self._list(""))
            if leave_out not in key
        }

    def history(self) -> dict[str, list[str]]:
        """Return by prefix the tags that stood there, oldest first."""
        found: dict[str, list[str]] = {}
        for key in self.control_keys("history/"):
            table = json.loads(self.read(key) or b"")
            found.setdefault(table["prefix"], []).append(table["tag"])
        return found

    def _name(self, key: str) -> str:
        return f"{self.below}{key}"

    def _get(
        self, key: str, *, method: str = "GET", media: bool = True
    ) -> urllib3.BaseHTTPResponse | None:
        base, name = self.servers.urls[self.cloud], self._name(key)
        url = f"{base}/{self.bucket}/{quote(name, safe='/')}"
        if self.cloud == "gcs":
            query = "?alt=media" if media else "?fields=size"
            url = f"{base}/storage/v1/b/{self.bucket}/o/{quote(name, safe='')}{query}"
        reply = self.servers.http.request(method, url, headers=READER)
        assert reply.status in {200, 404}, (reply.status, reply.data)
        return None if reply.status == 404 else reply

    def _list(self, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        base, wanted = self.servers.urls[self.cloud], quote(self._name(prefix), safe="")
        token = ""
        while True:
            if self.cloud == "gcs":
                url = f"{base}/storage/v1/b/{self.bucket}/o?prefix={wanted}&pageToken={token}"
                reply = self.servers.http.request("GET", url.removesuffix("&pageToken="))
                table = json.loads(reply.data)
                for each in table.get("items", ()):
                    version = {"version": each["generation"]}
                    yield each["name"].removeprefix(self.below), {**each, **version}
                token = quote(table.get("nextPageToken", ""), safe="")
            else:
                url = f"{base}/{self.bucket}?list-type=2&encoding-type=url&prefix={wanted}"
                more = f"&continuation-token={token}" if token else ""
                reply = self.servers.http.request("GET", url + more, headers=READER)
                root = ET.fromstring(re.sub(rb' xmlns="[^"]+"', b"", reply.data))
                for row in root.iter("Contents"):
                    name = unquote_plus(row.findtext("Key") or "")
                    etag = (row.findtext("ETag") or "").strip('"')
                    yield name.removeprefix(self.below), {"version": etag}
                token = quote(root.findtext("NextContinuationToken") or "", safe="")
            if not token:
                return

    def _stored(self, key: str, resource: Mapping[str, Any]) -> Stored:
        reply = self._get(key)
        assert reply is not None, key
        headers = reply.headers
        if self.cloud == "gcs":
            told = (resource.get("metadata") or {}).get("sha256", "")
            held = bool(resource.get("temporaryHold"))
            media_type = resource.get("contentType", "")
            cache_control = resource.get("cacheControl", "")
        else:
            told = headers.get("x-amz-meta-sha256", "")
            held = headers.get("x-amz-object-lock-legal-hold") == "ON"
            media_type = headers.get("Content-Type", "")
            cache_control = headers.get("Cache-Control", "")
        sha256 = hashlib.sha256(reply.data).hexdigest()
        return Stored(sha256, len(reply.data), media_type, cache_control, told, held)


@dataclass(frozen=True)
class CloudProject(Project):
    """A project that ships to two buckets."""

    places: Mapping[str, Place]

    def environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        """Return the environment of a CI run that may reach both."""
        return super().environment({**CREDENTIALS, **(more or {})})

    def quick(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run doit in a fork of a process that has the libraries imported."""
        doit = self.places["gcs"].servers.doit
        return doit.run(arguments, self.folder, self.environment(environment))

    def holdings(self) -> dict[str, dict[str, Stored]]:
        """Return by cloud all that it holds, but for the history."""
        return {cloud: place.objects() for cloud, place in self.places.items()}

    def histories(self) -> dict[str, dict[str, list[str]]]:
        """Return by cloud and prefix the tags that stood there, oldest first."""
        return {cloud: place.history() for cloud, place in self.places.items()}

    def configure(self, config: str) -> None:
        """Write the configuration anew."""
        (self.folder / "lading.toml").write_text(config)


def cloud_config(places: Mapping[str, Place], config: str = CONFIG, **more: str) -> str:
    """Return a configuration that ships to places.

    Args:
        places: by name of the destination.
        config: one that ships to the folders of the same names.
        more: further lines of a destination, by its name.
    """
    for cloud, place in places.items():
        lines = [f'url = "{place.url}"', f'endpoint = "{place.servers.urls[cloud]}"']
        lines += ["anonymous = true"] if cloud == "gcs" else []
        lines += [more[cloud]] if cloud in more else []
        config = config.replace(f'url = "clouds/{cloud}"', "\n".join(lines))
    return config


def make_places(
    servers: CloudServers, bucket: str, below: str = "", *, object_lock: bool = False
) -> dict[str, Place]:
    """Make a bucket in each cloud."""
    servers.call("gcs", "make_bucket", bucket)
    servers.call("s3", "create_bucket", bucket, object_lock=object_lock)
    return {cloud: Place(servers, cloud, bucket, below) for cloud in CLOUDS}


def make_cloud_project(
    folder: Path, places: Mapping[str, Place], *, parquet: int = 1, config: str = CONFIG
) -> CloudProject:
    """Make a project with a small build that ships to places."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dodo.py").write_text(DODO)
    make_build(folder / "source", parquet=parquet)
    project = CloudProject(folder, places)
    project.configure(cloud_config(places, config))
    return project


def count_operations(seen: Mapping[str, list[Seen]]) -> dict[str, Counter[str]]:
    """Count requests by cloud and operation."""
    return {cloud: Counter(each.operation for each in rows) for cloud, rows in seen.items()}
