"""Large files to Google Cloud Storage: one session a file, gone on with where it stands.

Nothing is believed to have arrived but what the service says it holds. An answer that says
less than it should is followed by a question, never taken for success.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lading.errors import ChecksumError, ConditionError, MissingObjectError, UnavailableError
from lading.release.objects import Digest
from lading.storage.cloud import Bucket
from lading.storage.progress import Progress
from lading.storage.sessions import Sessions
from lading.storage.wire import FilePart, Reply, until_it_moves

_INCOMPLETE = 308
_SESSIONS = 3  # how many may be lost before a file is given up


class Resumable:
    """Uploads in sessions to one bucket.

    Args:
        bucket: the bucket.
        url_of: the URL that begins a session, of the parameters of its object.
        call: ``GcsStore``'s.
        sessions: the uploads that were begun on this machine.
    """

    def __init__(
        self,
        bucket: Bucket,
        url_of: Callable[[dict[str, str]], str],
        call: Callable[..., Reply],
        sessions: Sessions,
    ) -> None:
        self._bucket = bucket
        self._url_of = url_of
        self._call = call
        self._sessions = sessions

    def send(
        self,
        name: str,
        path: Path,
        digest: Digest,
        resource: dict[str, Any],
        query: dict[str, str],
        progress: Progress,
    ) -> Reply:
        """Send a file, what the service lacks of it.

        Args:
            name: name of the object in the bucket.
            path: the file.
            digest: what it must be.
            resource: the object, with its CRC32C: the service refuses other bytes.
            query: conditions and key of the object.
            progress: told of all its bytes.

        Raises:
            ChecksumError: the file has other bytes.
        """
        size = path.stat().st_size
        if size != digest.size_bytes:
            raise ChecksumError(f"{path}: expected {digest.describe()}, got {size} bytes")
        for lost in range(_SESSIONS):
            session = "" if "ifGenerationMatch" in query else self._sessions.find(name, digest)
            upload = _Upload(self._call, self._place(name), path, digest, progress)
            try:
                if not session:
                    session = self._begin(name, digest, resource, query)
                    upload.stands_at = 0
                upload.session = session
                until_it_moves(upload.go_on, upload.position)
            except MissingObjectError:  # the session has expired
                self._sessions.forget(name)
                progress.relative_update(-upload.counted)
                if lost == _SESSIONS - 1:
                    raise
                continue
            except (ChecksumError, ConditionError):
                self._sessions.forget(name)
                raise
            self._sessions.forget(name)
            if upload.reply is not None:
                return upload.reply
        raise UnavailableError(f"{self._place(name)}: expected an upload session, lost {_SESSIONS}")

    def _begin(
        self, name: str, digest: Digest, resource: dict[str, Any], query: dict[str, str]
    ) -> str:
        reply = self._call(
            "objects.insert",
            "POST",
            self._place(name),
            self._url_of({"uploadType": "resumable", "name": name, **query}),
            headers={
                "Content-Type": "application/json; charset=UTF-8",
                "X-Upload-Content-Type": resource["contentType"],
                "X-Upload-Content-Length": str(digest.size_bytes),
            },
            body=json.dumps(resource).encode(),
            expects="Location",
        )
        session = reply.headers["Location"]
        self._sessions.keep(name, digest, session)
        return session

    def _place(self, name: str) -> str:
        return f"gs://{self._bucket.name}/{name}"


class _Upload:
    """One file on its way in one session."""

    def __init__(
        self,
        call: Callable[..., Reply],
        place: str,
        path: Path,
        digest: Digest,
        progress: Progress,
    ) -> None:
        self._call = call
        self._place = place
        self._path = path
        self._digest = digest
        self._progress = progress
        self.session = ""
        self.stands_at: int | None = None
        self.counted = 0
        self.reply: Reply | None = None

    def position(self) -> int:
        """Return how many bytes the service is known to hold."""
        return self.counted

    def go_on(self) -> None:
        """Ask how far it has come, where that is not known, and send the rest in one call."""
        if self.stands_at is None:
            self._ask()
        start, size = self.stands_at or 0, self._digest.size_bytes
        if self.reply is not None:
            return
        self.stands_at = None  # until an answer says so
        body = FilePart(
            path=self._path,
            start=start,
            size=size - start,
            crc32c=self._digest.crc32c,
            checked_from=0,
            progress=self._progress,
        )
        reply = self._put(f"bytes {start}-{size - 1}/{size}", body)
        if reply.status == _INCOMPLETE:
            # all was sent and not all has arrived, or the answer lies: the next round asks
            self._progress.relative_update(start - size)
            raise UnavailableError(f"{self._place}: expected the end of the upload, got more to do")
        self.reply = reply
        self.counted = size

    def _ask(self) -> None:
        reply = self._put(f"bytes */{self._digest.size_bytes}", b"")
        held = _held_bytes(reply)
        if reply.status != _INCOMPLETE:
            self.reply, held = reply, self._digest.size_bytes
        self._progress.relative_update(held - self.counted)
        self.counted = self.stands_at = held

    def _put(self, content_range: str, body: bytes | FilePart) -> Reply:
        reply = self._call(
            "objects.insert",
            "PUT",
            self._place,
            self.session,
            headers={"Content-Range": content_range},
            body=body,
            accepts={200, 201, _INCOMPLETE},
            is_single=True,
        )
        if reply.status != _INCOMPLETE and b'"generation"' not in reply.data:
            if isinstance(body, FilePart):
                self._progress.relative_update(-body.size)
            raise UnavailableError(f"{self._place}: expected the object, got {reply.data[:40]!r}")
        return reply


def _held_bytes(reply: Reply) -> int:
    """Read how many bytes a session holds; without a range it holds none."""
    match = re.fullmatch(r"bytes=0-(\d+)", reply.headers.get("Range", ""))
    return int(match[1]) + 1 if match else 0
