"""Monitors of Sentry hold: deleted is seen to be gone, and absent is not taken on trust."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lading.errors import GuardError, Interrupted, LadingError, ServiceError, UnansweredError
from lading.services.sentry import SCOPES, SentryMonitors
from lading.storage.progress import Progress
from tests.fakes.sentry import ORGANIZATION, TOKEN, FakeSentry

SLUG, OTHER = "staging-noaa-gfs-v0-3-0-update", "noaa-gfs-update"
PATH = f"/api/0/organizations/{ORGANIZATION}/monitors/{SLUG}/"
Make = Callable[..., SentryMonitors]


class Naps:
    """Waits that take no time."""

    def __init__(self) -> None:
        self.total = 0.0

    def __call__(self, seconds: float) -> None:
        """Count a wait."""
        assert 0 < seconds <= 1, "a wait must be cut into pieces that can be interrupted"
        self.total += seconds


class Stopping(Progress):
    """A progress that ends the run at a call."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def relative_update(self, inc: int = 1) -> None:
        """Count, and stop."""
        del inc
        self._left -= 1
        if self._left < 0:
            raise Interrupted(15)


@pytest.fixture
def sentry() -> Iterator[FakeSentry]:
    """Serve an organisation that has two monitors."""
    with FakeSentry() as server:
        server.check_in(SLUG, checkin_margin=30, max_runtime=60)
        server.check_in(OTHER)
        yield server
        assert not server.errors


@pytest.fixture
def naps() -> Naps:
    """Waits of this test."""
    return Naps()


@pytest.fixture
def make(sentry: FakeSentry, naps: Naps) -> Make:
    """Make a client."""

    def made(organization: str = ORGANIZATION, token: str = TOKEN, **more: Any) -> SentryMonitors:
        return SentryMonitors(organization, sentry.url, token, sleep=naps, **more)

    return made


def one_line(error: BaseException) -> str:
    """Return a message, which is one line without the token."""
    text = str(error)
    assert "\n" not in text
    assert TOKEN not in text
    assert len(text) < 600
    return text


class TestDelete:
    """A monitor is gone when it is seen to be gone."""

    def test_once(self, sentry: FakeSentry, make: Make) -> None:
        """A monitor is deleted with one request, the others stay; then it is absent."""
        monitors = make()

        assert monitors.delete(SLUG) == "deleted"
        assert sentry.slugs == [OTHER]
        assert sentry.asked("DELETE") == [PATH]
        assert monitors.delete(SLUG) == "absent"
        assert sentry.asked("DELETE") == [PATH]

    def test_later(self, sentry: FakeSentry, make: Make, naps: Naps) -> None:
        """What Sentry has accepted is looked after until it is done."""
        sentry.lag = 3

        assert make().delete(SLUG) == "deleted"
        assert sentry.monitor(SLUG) is None
        assert naps.total == 6

    def test_never(self, sentry: FakeSentry, make: Make, naps: Naps) -> None:
        """What is accepted and never done is no success; asked again, nothing is sent twice."""
        sentry.lag = 1000

        for _ in range(2):
            with pytest.raises(UnansweredError) as caught:
                make().delete(SLUG)
            assert SLUG in one_line(caught.value)
            assert "run the same command" in one_line(caught.value)
        assert sentry.asked("DELETE") == [PATH]
        assert naps.total == 2 * 58

    def test_interrupted(self, sentry: FakeSentry, make: Make) -> None:
        """A run can be stopped while a deletion is looked after."""
        sentry.lag = 1000

        with pytest.raises(Interrupted):
            make(progress=Stopping(3)).delete(SLUG)

    def test_interrupted_retry(self, sentry: FakeSentry, make: Make) -> None:
        """A run can be stopped before a request is sent again."""
        sentry.faults = {"GET": ["page"] * 4}

        with pytest.raises(Interrupted):
            make(progress=Stopping(0)).delete(SLUG)
        assert len(sentry.calls) == 1

    @pytest.mark.parametrize("fault", ["lost", "page", "busy"])
    @pytest.mark.parametrize("lag", [0, 2])
    def test_faults(self, sentry: FakeSentry, make: Make, fault: str, lag: int) -> None:
        """An answer that was lost, a page of a proxy, and a refusal for haste are got over."""
        sentry.lag, sentry.faults = lag, {"DELETE": [fault]}

        assert make().delete(SLUG) == "deleted"
        assert sentry.slugs == [OTHER]
        assert len(sentry.asked("DELETE")) == 2

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_hangs(self, sentry: FakeSentry, make: Make, method: str) -> None:
        """A Sentry that does not answer is asked again, and given up in bounded time."""
        sentry.faults = {method: ["hang"] * 4}
        monitors = make()
        monitors.answer_s = 0.05

        with pytest.raises(UnansweredError) as caught:
            monitors.delete(SLUG)
        assert f"{method} {PATH}" in one_line(caught.value)
        assert len(sentry.asked(method)) == 4
        assert sentry.slugs == [OTHER, SLUG]
        assert monitors.delete(SLUG) == "deleted"

    def test_pages(self, sentry: FakeSentry, make: Make) -> None:
        """A proxy that answers with pages to the end is told in one line."""
        sentry.faults = {"GET": ["page"] * 4}

        with pytest.raises(UnansweredError) as caught:
            make().delete(SLUG)
        assert "502" in one_line(caught.value)

    def test_other_json(self, sentry: FakeSentry, make: Make) -> None:
        """A list is no monitor."""
        sentry.faults = {"GET": ["other json"]}

        with pytest.raises(UnansweredError, match="expected a table"):
            make().delete(SLUG)
        assert sentry.slugs == [OTHER, SLUG]

    def test_reads_only(self, sentry: FakeSentry, make: Make) -> None:
        """A client that may only look deletes nothing and changes nothing."""
        monitors = make(read_only=True)

        for act in (
            lambda: monitors.delete(SLUG),
            lambda: monitors.set_schedule(SLUG, "@daily", "UTC"),
        ):
            with pytest.raises(GuardError):
                act()
        assert {each.method for each in sentry.calls} == {"GET"}

    @pytest.mark.parametrize(
        "slug",
        [
            "",
            "..",
            "a/b",
            "../other",
            f"{OTHER}/?x=",
            "A",
            "a.b",
            "1234",
            "a" * 51,
            "a\n",
            "é",
            "-a",
        ],
    )
    def test_slugs(self, sentry: FakeSentry, make: Make, slug: str) -> None:
        """What is no slug is not asked for: it could name another thing."""
        with pytest.raises(ServiceError, match="expected a monitor's slug"):
            make().delete(slug)
        assert not sentry.calls


class TestAccess:
    """Who may not, is told what he needs."""

    def test_access(self, sentry: FakeSentry, make: Make) -> None:
        """Access is asked for without a change."""
        assert make().require_access() == f"{sentry.url} acme: its monitors can be read"
        assert {each.method for each in sentry.calls} == {"GET"}

    def test_little_scope(self, sentry: FakeSentry, make: Make) -> None:
        """A token that may not list monitors, and may delete them, is enough."""
        sentry.give_token("small", {"project:admin"})
        monitors = make(token="small")

        assert monitors.require_access()
        assert make(token="small").delete("absent") == "absent"
        assert monitors.delete(SLUG) == "deleted"

    @pytest.mark.parametrize("scopes", [{"org:ci"}, {"org:read"}])
    def test_scopes(self, sentry: FakeSentry, make: Make, scopes: set[str]) -> None:
        """A token without the scope is refused with the scopes that it needs."""
        sentry.give_token("weak", scopes)

        with pytest.raises(ServiceError) as caught:
            make(token="weak").delete(SLUG)
        assert caught.value.status == 403
        assert SCOPES in one_line(caught.value)
        assert "SENTRY_AUTH_TOKEN" in one_line(caught.value)
        assert sentry.slugs == [OTHER, SLUG]

    def test_may_look(self, sentry: FakeSentry, make: Make) -> None:
        """A token that may only read is refused when it deletes, and deletes nothing."""
        sentry.give_token("looks", {"project:read"})

        with pytest.raises(ServiceError, match=SCOPES):
            make(token="looks").delete(SLUG)
        assert sentry.slugs == [OTHER, SLUG]

    def test_no_scope(self, sentry: FakeSentry, make: Make) -> None:
        """A token that may see no monitor has no access."""
        sentry.give_token("weak", {"org:ci"})

        with pytest.raises(ServiceError, match=SCOPES):
            make(token="weak").require_access()

    def test_foreign_token(self, sentry: FakeSentry, make: Make) -> None:
        """A token of another organisation deletes nothing here."""
        sentry.give_token("foreign", {"org:read", "project:write"}, "other")

        with pytest.raises(ServiceError, match="403"):
            make(token="foreign").delete(SLUG)
        assert sentry.slugs == [OTHER, SLUG]

    @pytest.mark.parametrize("name", ["SENTRY_AUTH_TOKEN", "OUR_TOKEN"])
    def test_wrong_token(self, make: Make, name: str) -> None:
        """A wrong token is told, with the variable that holds it."""
        monitors = make(token="wrong", token_variable=name)

        for act in (monitors.require_access, lambda: monitors.delete(SLUG)):
            with pytest.raises(ServiceError) as caught:
                act()
            assert caught.value.status == 401
            assert name in one_line(caught.value)

    @pytest.mark.parametrize("token", ["", "a\nb", "ü", "a b"])
    def test_no_token(self, make: Make, token: str) -> None:
        """What cannot be a token is refused before anything is asked, and is not shown."""
        with pytest.raises(ServiceError, match="expected a token in SENTRY_AUTH_TOKEN"):
            make(token=token)

    def test_plain_http(self) -> None:
        """A token is not sent without encryption."""
        with pytest.raises(ServiceError, match="expected https"):
            SentryMonitors("acme", "http://sentry.example.org", TOKEN)

    def test_no_organization(self, make: Make) -> None:
        """Of an organisation that there is not, no monitor is called absent."""
        monitors = make("acmee")

        for act in (
            lambda: monitors.delete(SLUG),
            lambda: monitors.schedule_of(SLUG),
            lambda: monitors.set_schedule(SLUG, "0 6 * * *", "UTC"),
            monitors.require_access,
        ):
            with pytest.raises(ServiceError) as caught:
                act()
            assert "expected the organisation 'acmee'" in one_line(caught.value)

    @pytest.mark.parametrize("organization", ["", "a/b", "..", "Acme"])
    def test_no_slug(self, make: Make, organization: str) -> None:
        """What is no organisation's slug is refused."""
        with pytest.raises(ServiceError, match="expected an organisation's slug"):
            make(organization)


class TestSchedule:
    """A monitor expects its job when it comes."""

    def test_changed(self, sentry: FakeSentry, make: Make) -> None:
        """A schedule is changed, all else stays, and the second time there is nothing to do."""
        monitors = make()

        assert monitors.schedule_of(SLUG) == ("0 6 * * *", "Etc/UTC")
        assert monitors.set_schedule(SLUG, "7 6 * * *", "Europe/Paris") == "changed"
        assert monitors.schedule_of(SLUG) == ("7 6 * * *", "Europe/Paris")
        config = (sentry.monitor(SLUG) or {})["config"]
        assert (config["checkin_margin"], config["max_runtime"]) == (30, 60)
        assert config["schedule_type"] == "crontab"
        assert monitors.set_schedule(SLUG, "7 6 * * *", "Europe/Paris") == "kept"
        assert len(sentry.asked("PUT")) == 1
        assert monitors.schedule_of(OTHER) == ("0 6 * * *", "Etc/UTC")

    @pytest.mark.parametrize(
        ("crontab", "zone"),
        [("0 6 * * *", "UTC"), (" 0  6 * * * ", "Etc/UTC"), ("0 6 * * *", "Etc/UTC")],
    )
    def test_same(self, sentry: FakeSentry, make: Make, crontab: str, zone: str) -> None:
        """A schedule that is written otherwise is the same one."""
        assert make().set_schedule(SLUG, crontab, zone) == "kept"
        assert not sentry.asked("PUT")

    @pytest.mark.parametrize("name", ["@daily", "@midnight"])
    def test_named(self, sentry: FakeSentry, make: Make, name: str) -> None:
        """A named schedule is set once, as Sentry keeps it."""
        assert make().set_schedule(SLUG, name, "Etc/UTC") == "changed"
        assert make().set_schedule(SLUG, name, "Etc/UTC") == "kept"
        assert len(sentry.asked("PUT")) == 1

    def test_interval(self, sentry: FakeSentry, make: Make) -> None:
        """A monitor of an interval is told as one, and becomes one of a crontab."""
        sentry.check_in(SLUG, [1, "hour"], "", schedule_type="interval")  # type: ignore[arg-type]

        assert make().schedule_of(SLUG) == ("every 1 hour", "UTC")
        assert make().set_schedule(SLUG, "0 6 * * *", "Etc/UTC") == "changed"
        assert make().schedule_of(SLUG) == ("0 6 * * *", "Etc/UTC")

    def test_absent(self, sentry: FakeSentry, make: Make) -> None:
        """A monitor that is absent, or on its way to be, is not made."""
        monitors = make()
        assert monitors.schedule_of("staging-new") is None
        assert monitors.set_schedule("staging-new", "0 6 * * *", "Etc/UTC") == "absent"
        sentry.lag = 1000
        with pytest.raises(UnansweredError):
            monitors.delete(SLUG)

        assert monitors.set_schedule(SLUG, "1 1 * * *", "Etc/UTC") == "absent"
        assert not sentry.asked("PUT")

    @pytest.mark.parametrize("fault", ["lost", "page"])
    def test_faults(self, sentry: FakeSentry, make: Make, fault: str) -> None:
        """A change whose answer was lost is made again, and read back."""
        sentry.faults = {"PUT": [fault]}

        assert make().set_schedule(SLUG, "7 6 * * *", "Etc/UTC") == "changed"
        assert len(sentry.asked("PUT")) == 2

    @pytest.mark.parametrize(
        ("crontab", "zone", "said"),
        [
            ("0 0 6 * * *", "Etc/UTC", "Invalid schedule"),
            ("0 6 * * *", "Mars/Olympus", "not a valid choice"),
        ],
    )
    def test_refused(self, make: Make, crontab: str, zone: str, said: str) -> None:
        """What Sentry does not take is told in its words."""
        with pytest.raises(ServiceError, match=said) as caught:
            make().set_schedule(SLUG, crontab, zone)
        assert caught.value.status == 400
        one_line(caught.value)

    def test_overwritten(self, sentry: FakeSentry, make: Make) -> None:
        """A schedule that a check-in has set back at once is no success."""
        sentry.answered = lambda request: sentry.check_in(SLUG) if request.method == "PUT" else None

        with pytest.raises(LadingError, match="expected the schedule '7 6"):
            make().set_schedule(SLUG, "7 6 * * *", "Etc/UTC")
