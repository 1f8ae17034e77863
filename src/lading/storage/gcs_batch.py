"""Many deletions in one call of Google Cloud Storage: a call whose parts are calls."""

import re
from collections.abc import Sequence
from email.parser import BytesParser

DELETED_AT_ONCE = 100
"""The service takes no more calls in one."""


def render_deletions(paths: Sequence[str], boundary: str) -> bytes:
    """Render the body of a batch that deletes objects.

    Args:
        paths: of each object, with version of the API and parameters.
        boundary: what stands between the parts.
    """
    parts = [
        f"--{boundary}\r\nContent-Type: application/http\r\n"
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <call+{number}>\r\n\r\n"
        f"DELETE {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n\r\n"
        for number, path in enumerate(paths)
    ]
    return "".join([*parts, f"--{boundary}--\r\n"]).encode()


def parse_batch(content_type: str, data: bytes) -> dict[int, int]:
    """Return the status of each call of a batch by its number; what is not answered is not there.

    Args:
        content_type: of the answer: it names what stands between the parts.
        data: the answer.
    """
    message = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + data)
    statuses = {}
    for part in message.walk():
        number = re.search(r"call\+(\d+)", part.get("Content-ID", ""))
        body = part.get_payload()
        status = re.match(r"HTTP/\S+ (\d{3})", body.lstrip()) if isinstance(body, str) else None
        if number and status:
            statuses[int(number[1])] = int(status[1])
    return statuses
