"""What answers of APIs mean, by tables."""

import json
from typing import Any

import pytest

from lading.jobs.ingest.answers import Reading, Shape, Verdict, read_answer
from lading.services.answers import Answer

SHAPE = Shape(key=("id",))
SENT: list[dict[str, Any]] = [{"id": 7, "v": 1}, {"id": 8, "v": 2}, {"id": "x", "v": 3}]
T, R, A, U = Verdict.TAKEN, Verdict.REFUSED, Verdict.AGAIN, Verdict.UNSENT


def read(
    table: Any, status: int = 200, sent: list[dict[str, Any]] = SENT, shape: Shape = SHAPE
) -> Reading:
    """Read an answer as it comes from the client."""
    content = b"" if table is None else json.dumps(table).encode()
    return read_answer(Answer(status, table, {}, content), sent, shape)


def verdicts(reading: Reading) -> list[Verdict]:
    """Return what is said of each record."""
    assert reading.whole is None, reading.whole
    return [each.verdict for each in reading.records]


class TestSuccess:
    """Answers that call themselves a success."""

    @pytest.mark.parametrize(
        "table",
        [
            {},
            {"accepted": 3},
            {"ok": True, "errors": []},
            {"errors": None, "failed": 0},
            {"errors": 0},
            {"results": [{"status": "ok"}] * 3},
            [{"status": 201}, {}, {"status": "created"}],
            {"results": [{"id": "their-1"}, {"id": "their-2"}, {"id": "their-3"}]},
            {"results": [{"id": 8}, {"id": "7"}, {"id": "x"}]},
        ],
    )
    def test_all_taken(self, table: Any) -> None:
        """All records are taken where the answer says so, or says nothing against it."""
        assert verdicts(read(table)) == [T, T, T]

    @pytest.mark.parametrize("status", [201, 202, 204])
    def test_no_body(self, status: int) -> None:
        """A success that needs no body has all records taken."""
        assert verdicts(read(None, status)) == [T, T, T]

    @pytest.mark.parametrize(
        ("table", "expected"),
        [
            (
                {"results": [{"id": 7, "status": "ok"}, {"id": 8, "status": "error"},
                             {"id": "x", "status": "ok"}]},
                [T, R, T],
            ),
            ({"results": [{"id": "x", "status": 422}, {"id": 8}, {"id": 7}]}, [T, T, R]),
            ({"results": [{"status": "ok"}, {"status": "ok"}, {"error": "m"}]}, [T, T, R]),
            ({"results": [{"index": 2, "ok": False}, {"index": 0}, {"index": 1}]}, [T, T, R]),
            ({"results": [{"status": "ok"}, {"status": "odd"}, {"status": "OK"}]}, [T, R, T]),
            ({"results": [{"status": 429}, {"status": "503"}, {"status": 409}]}, [A, A, R]),
            ({"results": [{"error": {"code": 503}}, {"ok": True}, {"ok": True}]}, [A, T, T]),
            (
                {"results": [{"error": "m", "retryable": True}, {"status": 503, "retryable": False},
                             {}]},
                [A, R, T],
            ),
            ({"errors": [{"index": 1, "message": "m"}]}, [T, R, T]),
            ({"errors": [{"id": "x", "message": "m"}, {"id": "7", "status": 503}]}, [A, T, R]),
            ({"errors": {"8": "m", "x": {"message": "m", "status": 429}}}, [T, R, A]),
            ({"errors": [{"index": 1, "status": 503}, {"index": 1, "message": "m"}]}, [T, R, T]),
            ({"success": False, "errors": [{"index": 0, "message": "m"}]}, [R, T, T]),
            ({"success": False, "results": [{}, {"error": "m"}, {}]}, [T, R, T]),
            ({"accepted": 2, "failed": 1, "errors": [{"index": 0, "message": "m"}]}, [R, T, T]),
        ],
    )  # fmt: skip
    def test_each(self, table: Any, expected: list[Verdict]) -> None:
        """Errors inside of a success are those of the records that they name."""
        assert verdicts(read(table)) == expected
        assert verdicts(read(table, 207)) == expected

    @pytest.mark.parametrize(
        "table",
        [
            None,
            "ok",
            True,
            3,
            {"results": [{"status": "ok"}] * 2},
            {"results": [{"status": "ok"}] * 4},
            {"results": []},
            {"results": ["ok", "ok", "ok"]},
            {"results": [{"id": 7}, {"id": 8}, {"id": 9}]},
            {"results": [{"id": 7}, {"id": 8}, {"id": 8}]},
            {"results": [{"id": 7}, {"id": 8}, {}]},
            {"results": [{"index": 0}, {"index": 1}, {"index": 3}]},
            {"accepted": 2},
            {"accepted": 4},
            {"accepted": 3, "results": [{"error": "m"}, {}, {}]},
            {"failed": 2, "results": [{"error": "m"}, {}, {}]},
            {"errors": [{"id": 99, "message": "m"}]},
            {"errors": [{"index": -1, "message": "m"}]},
            [],
        ],
    )
    def test_does_not_fit(self, table: Any) -> None:
        """An answer that does not fit what was sent is no success; what was done is not known."""
        reading = read(table)

        assert reading.records == ()
        assert reading.whole is not None
        assert reading.whole.verdict is A
        assert "expected" in reading.whole.message

    @pytest.mark.parametrize(
        ("table", "verdict"),
        [
            ({"success": False, "message": "m"}, R),
            ({"ok": False, "message": "m"}, R),
            ({"status": "error", "message": "m"}, R),
            ({"status": "error", "code": 503, "message": "m"}, A),
            ({"error": {"message": "m", "code": 429}}, A),
            ({"error": "m"}, R),
            ({"errors": ["m"]}, R),
            ({"errors": [{"message": "m"}]}, R),
            ({"errors": [{"message": "m"}], "retryable": True}, A),
            ({"errors": {"field": "m"}}, R),
            ({"errors": 1, "message": "m"}, R),
            ({"accepted": 2, "failed": 1, "message": "m"}, R),
        ],
    )
    def test_all_together(self, table: Any, verdict: Verdict) -> None:
        """Errors that name no record are those of all together; of one record alone, its own."""
        whole = read(table).whole

        assert whole is not None
        assert whole.verdict is verdict
        assert "m" in whole.message

    def test_one(self) -> None:
        """An error that names nothing is that of the only record."""
        reading = read({"errors": [{"message": "too long"}]}, sent=[{"id": 1}])

        assert [(each.verdict, each.message) for each in reading.records] == [(R, "too long")]

    def test_other_fields(self) -> None:
        """An API may have its lists elsewhere."""
        shape = Shape(key=("a", "b"), errors_field="data.problems", results_field="data.rows")
        sent = [{"a": 1, "b": 1}, {"a": 1, "b": 2}]
        table = {"data": {"problems": [{"a": 1, "b": 2, "message": "m"}]}}
        assert verdicts(read(table, sent=sent, shape=shape)) == [T, R]

        table = {"data": {"rows": [{"a": 1, "b": 2, "error": "m"}, {"a": 1, "b": 1}]}}
        assert verdicts(read(table, sent=sent, shape=shape)) == [T, R]

    def test_equal_keys(self) -> None:
        """Of records with one key, results are taken in the order in which they were sent."""
        sent = [{"id": 7}, {"id": 7}, {"id": 8}]
        table = {"results": [{"id": 8}, {"id": 7}, {"id": 7, "error": "m"}]}

        assert verdicts(read(table, sent=sent)) == [T, R, T]

    def test_no_secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is told holds no secret, in one line that has an end."""
        monkeypatch.setenv("API_TOKEN", "canary-5f2c9d")
        message = f"canary-5f2c9d\n{'x' * 5000}"
        [said, *_] = read({"errors": [{"index": 0, "message": message}]}).records

        assert "canary" not in said.message
        assert "\n" not in said.message
        assert len(said.message) <= 500


class TestRefusal:
    """Answers that refuse all of a request."""

    @pytest.mark.parametrize("status", [400, 413, 422])
    @pytest.mark.parametrize(
        "content",
        [b"", b"<html>", b"[1]", b'{"message": "no"}', b'{"errors": ["no"]}', b'{"errors": 3}',
         b'{"errors": [{"index": 0}, {"message": "no"}]}', b"[" * 100_000,
         b'{"errors": [{"id": 99, "message": "no"}]}'],
        ids=range(9),
    )  # fmt: skip
    def test_names_none(self, status: int, content: bytes) -> None:
        """A refusal that names no record is one of all together."""
        whole = read_answer(Answer(status, None, {}, content), SENT, SHAPE).whole

        assert whole is not None
        assert whole.verdict is R
        assert str(status) in whole.message

    def test_names_some(self) -> None:
        """Where it names records, those are refused, and the others were not taken."""
        content = b'{"errors": [{"id": 8, "message": "too long"}]}'
        reading = read_answer(Answer(422, None, {}, content), SENT, SHAPE)

        assert verdicts(reading) == [U, R, U]
        assert reading.records[1].message == "too long"
