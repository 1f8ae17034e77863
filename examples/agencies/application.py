"""An application that takes readings, to try `ingest_api` with: nothing but the standard library.

    python application.py --port 8731

POST /readings takes {"records": [...]}, once for each Idempotency-Key; GET /readings counts.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

READINGS: dict[str, dict[str, Any]] = {}
ANSWERS: dict[str, dict[str, Any]] = {}
TURN = Lock()


class Application(BaseHTTPRequestHandler):
    """Keeps readings by their id, for as long as it runs."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Say how much there is."""
        with TURN:
            self._answer(200, {"readings": len(READINGS), "requests": len(ANSWERS)})

    def do_POST(self) -> None:
        """Take records; the same request again is answered as before, and does nothing."""
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers.get("Idempotency-Key", "")
        if self.headers.get("Authorization") != "Bearer try":
            self._answer(401, {"message": "expected the token `try`"})
            return
        with TURN:
            if key not in ANSWERS:
                records = json.loads(data)["records"]
                READINGS.update({each["id"]: each for each in records})
                ANSWERS[key] = {"accepted": len(records)}
            self._answer(200, ANSWERS[key])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  theirs
        """Say nothing."""

    def _answer(self, status: int, table: dict[str, Any]) -> None:
        data = json.dumps(table).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8731)
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Application).serve_forever()
