"""The lines that people paste: real shells run them, with names that no person would choose."""

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from lading.web.download import download_line, file_url, is_web_url, quote_word, release_line

BYTES = b"some bytes\n"
SHA256 = hashlib.sha256(BYTES).hexdigest()
NAMES = {
    "plain": "energy.sqlite.zip",
    "space": "two words.csv",
    "quote": 'it\'s "so".csv',
    "dollar": "$(touch pwned) `touch pwned`.csv",
    "dash": "-o",
    "single-dash": "-",
    "semicolon": "a;touch pwned",
    "newline": "two\nlines.csv",
    "backslash": "back\\slash.csv",
    "carriage": "back\\and\rreturn",
    "rtl": "fdp.\u202ecsv",
    "emoji": "🦆 größe.csv",
    "percent": "100%d %s.csv",
    "tab": "\t1.csv",
    "digits": "\x01777",
}


class _Bytes(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer every address with the same bytes, and note it."""
        self.server.seen.append(unquote(self.path))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(BYTES)))
        self.end_headers()
        self.wfile.write(BYTES)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    """Give a server that has one file under all names."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Bytes)
    made.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def run(line: str, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    """Run a line as a person does, in a folder."""
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, timeout=30, check=False
    )


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_pasted_line_fetches_and_proves(
    name: str, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    """Whatever a file is called, one file of that name appears, and nothing else happens."""
    base = f"http://127.0.0.1:{server.server_address[1]}/data"
    done = run(download_line(file_url(base, f"folder/{name}"), f"folder/{name}", SHA256), tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == BYTES
    assert server.seen[-1] == f"/data/folder/{name}"  # type: ignore[attr-defined]


def test_other_bytes_are_refused(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    """A digest that does not fit ends the line with an error."""
    url = f"http://127.0.0.1:{server.server_address[1]}/x.csv"
    done = run(download_line(url, "x.csv", "0" * 64), tmp_path)
    assert done.returncode != 0
    assert b"FAILED" in done.stdout


@pytest.mark.parametrize("key", ["", "..", "a/..", "/", "./."])
def test_a_key_never_leaves_the_folder(key: str) -> None:
    """What has no name of its own is called download."""
    assert " -o download " in download_line("https://example.org/x", key, SHA256)


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("https://example.org/x", True),
        ("HTTP://example.org", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://", False),
        ("//example.org", False),
        (" https://example.org", False),
        ("https://example.org/\njavascript:", False),
        ("https:\\example.org", False),
        ("file:///etc/passwd", False),
        ("gs://bucket/key", False),
        ("", False),
    ],
)
def test_a_browser_is_led_to_the_web_only(url: str, *, is_one: bool) -> None:
    """Only http and https, without what a browser would leave out while reading."""
    assert is_web_url(url) == is_one


def test_keys_are_encoded_in_urls() -> None:
    """A key is a path: slashes stay, what has a meaning in a URL does not."""
    url = file_url("https://example.org/nightly/", "a b/100%?x#y.csv")
    assert url == "https://example.org/nightly/a%20b/100%25%3Fx%23y.csv"
    assert file_url("build/clouds/gcs", "a.csv") == ""


def test_the_whole_release_is_proved_by_its_sums() -> None:
    """One line for all files."""
    line = release_line("https://example.org/nightly")
    assert line == ("curl -fL -O https://example.org/nightly/SHA256SUMS && sha256sum -c SHA256SUMS")


def test_what_cannot_be_seen_is_written_as_bytes() -> None:
    """No right-to-left mark reaches the page, and a digit after it is not taken for its own."""
    assert quote_word("\x017'\u202e") == "$'\\0017\\'\\342\\200\\256'"
