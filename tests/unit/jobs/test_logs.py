"""What a run says."""

import io
import json
import logging
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lading.errors import MisconfiguredError
from lading.jobs.logs import choose_style, logging_to


def fail(text: str) -> None:
    """Raise an error, from a line of its own."""
    raise ValueError(text)


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines of a log as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines() -> None:
    """A line has what machines want: time in UTC, level, message, job, run, item, and extras."""
    out = io.StringIO()
    with logging_to(out, "json", job="copy", run="r1") as log:
        log.info("copied %d\nof %s", 3, Path("a"))
        log.warning("odd", extra={"item": Path("b"), "rows": 2, "of": {"x": (1, float("nan"))}})
        log.debug("unheard")
    first, second = lines_of(out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {"level": "INFO", "message": "copied 3\nof a", "job": "copy", "run": "r1"}
    assert second.pop("time") >= ""
    assert second == {
        "level": "WARNING",
        "message": "odd",
        "job": "copy",
        "run": "r1",
        "item": "b",
        "rows": 2,
        "of": {"x": [1, "nan"]},
    }


def test_exceptions_stand_in_their_line() -> None:
    """A trace is one field of one line; where nothing was raised there is none."""
    out = io.StringIO()
    with logging_to(out, "json", job="copy", run="r1") as log:
        try:
            fail("wrong")
        except ValueError:
            log.exception("failed")
        log.error("plain", exc_info=(None, None, None))
    failed, plain = lines_of(out)
    assert failed["exception"].startswith("Traceback")
    assert failed["exception"].endswith("ValueError: wrong")
    assert "exception" not in plain


@pytest.mark.parametrize("style", ["json", "text"])
def test_secrets_are_taken_out(style: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither message, nor item, extra or exception shows a secret of the environment."""
    monkeypatch.setenv("API_TOKEN", "very-secret-value")
    out = io.StringIO()
    with logging_to(out, style, job="copy", run="r1") as log:
        try:
            fail("got very-secret-value")
        except ValueError:
            given = {"item": "very-secret-value", "more": ["very-secret-value"]}
            log.exception("with %s", "very-secret-value", extra=given)
    assert "very-secret" not in out.getvalue()
    assert "ValueError: got ***" in out.getvalue()


def test_text_lines() -> None:
    """People see time, job and message; a level only from WARNING on; further lines indented."""
    out = io.StringIO()
    with logging_to(out, "text", job="copy", run="r1") as log:
        log.info("began\nand\r\nwent on")
        log.warning("odd", extra={"item": "a/b"})
        try:
            fail("wrong")
        except ValueError:
            log.exception("failed")
    lines = out.getvalue().splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "T ", each) for each in lines[:6]] == [
        "T copy: began",
        "  and",
        "  went on",
        "T copy: WARNING a/b: odd",
        "T copy: ERROR failed",
        "  Traceback (most recent call last):",
    ]
    assert lines[-1] == "  ValueError: wrong"


def test_text_cannot_steer_a_terminal() -> None:
    """Control characters and undecodable names of others are shown, not obeyed."""
    out = io.StringIO()
    with logging_to(out, "text", job="copy", run="r1") as log:
        log.info("a\x1b[2Jb\rc\x9b \udcff \u2028ü")
    assert out.getvalue()[9:] == "copy: a\\x1b[2Jb\\x0dc\\x9b \\udcff \u2028ü\n"


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_line_is_never_lost(style: Any) -> None:
    """A wrong format and an object that cannot be shown give a line nevertheless."""

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    out = io.StringIO()
    with logging_to(out, style, job="copy", run="r1") as log:
        log.info(*("%d %d", "x"))
        log.info("%s", Odd(), extra={"item": Odd()})
        log.info({"a": 1})
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert "%d %d" in lines[0]
    assert "Odd object at" in lines[1]


def test_libraries_are_heard_from_warning_on() -> None:
    """What others log goes into the same log, with the run; their small talk does not."""
    out = io.StringIO()
    library = logging.getLogger("some.library")
    with logging_to(out, "json", job="copy", run="r1"):
        library.info("unheard")
        library.warning("heard", extra={"run": "spoofed"})
    (line,) = lines_of(out)
    assert (line["message"], line["run"]) == ("heard", "r1")


def test_the_root_logger_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stood before is silent meanwhile and stands again, after an error too."""
    root, other = logging.getLogger(), logging.StreamHandler(heard := io.StringIO())
    monkeypatch.setattr(root, "handlers", [other])
    monkeypatch.setattr(root, "level", logging.ERROR)
    out = io.StringIO()
    with suppress(ValueError), logging_to(out, "json", job="copy", run="r1"):
        logging.getLogger("some.other.library").warning("x")
        fail("wrong")
    assert (root.handlers, root.level, heard.getvalue()) == ([other], logging.ERROR, "")
    assert len(lines_of(out)) == 1


def test_blocks_in_blocks_and_threads() -> None:
    """Each line goes to one log: a library's to that of its thread, else to the last begun."""
    outer, inner, library = io.StringIO(), io.StringIO(), logging.getLogger("some.library")
    begun, ended = threading.Event(), threading.Event()
    before = logging.getLogger().handlers[:]

    def run() -> None:
        with logging_to(inner, "json", job="b", run="2") as log:
            library.warning("of b")
            log.info("b itself")
            begun.set()
            assert ended.wait(10)

    with logging_to(outer, "json", job="a", run="1") as log:
        thread = threading.Thread(target=run)
        thread.start()
        assert begun.wait(10)
        library.warning("of a")
        log.info("a itself")
        stranger = threading.Thread(target=library.warning, args=("of nobody",))
        stranger.start()
        stranger.join(10)
        ended.set()
        thread.join(10)
        library.warning("of a again")
    assert [each["message"] for each in lines_of(outer)] == ["of a", "a itself", "of a again"]
    assert [each["message"] for each in lines_of(inner)] == ["of b", "b itself", "of nobody"]
    assert {each["job"] for each in lines_of(inner)} == {"b"}
    assert logging.getLogger().handlers == before


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    """Lines of threads never mix, in a file as on stdout."""
    path = tmp_path / "log"
    with (
        path.open("w") as out,
        logging_to(out, "json", job="copy", run="r1") as log,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(lambda number: log.info("%s%d", "x" * 200, number), range(400)))
    messages = [json.loads(line)["message"] for line in path.read_text().splitlines()]
    assert sorted(messages) == sorted("x" * 200 + str(number) for number in range(400))


def test_a_reader_that_is_gone_ends_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the log cannot be written the work goes on, and nothing else is printed."""
    out = io.StringIO()
    with logging_to(out, "json", job="copy", run="r1") as log:
        out.close()
        log.info("lost")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("stream", "wanted", "variable", "style"),
    [
        (io.StringIO(), "", "", "json"),
        (Terminal(), "", "", "text"),
        (Terminal(), "", "json", "json"),
        (io.StringIO(), "text", "json", "text"),
        (Terminal(), "json", "text", "json"),
    ],
)
def test_choose_style(
    stream: io.StringIO, wanted: str, variable: str, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option counts more than the variable, and that more than the terminal."""
    monkeypatch.setenv("LADING_LOG", variable)
    assert choose_style(stream, wanted) == style


def test_a_style_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for an unknown style is told where he did."""
    with pytest.raises(MisconfiguredError, match=r"^--log: expected 'json' or 'text', got 'xml'"):
        choose_style(sys.stdout, "xml")
    monkeypatch.setenv("LADING_LOG", "XML")
    with pytest.raises(MisconfiguredError, match=r"^LADING_LOG: expected"):
        choose_style(sys.stdout, "")
