"""Secrets taken out of what people and files get to see."""

import base64
import json
import os
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.services.redaction import HIDDEN, redact, redactor, secrets_of

CANARY = 'canary/5f2c9d+"to ken"=ü'
# stars are left out: what is put in place of a secret could be a part of it
SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=8).filter(
    lambda text: len(text.strip()) >= 8
)


def small_percent(text: str) -> str:
    """Percent-encode a text with small letters."""
    parts = quote(text, safe="").split("%")
    return "%".join([parts[0], *(each[:2].lower() + each[2:] for each in parts[1:])])


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda text: quote(text, safe=""),
    "percent, a path": quote,
    "percent, a form": quote_plus,
    "percent, small": small_percent,
    "json": lambda text: json.dumps(text)[1:-1],
    "repr": lambda text: repr(text)[1:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, a URL": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "basic": lambda text: base64.b64encode(f"x-access-token:{text}".encode()).decode(),
    "registry": lambda text: base64.b64encode(f"_json_key:{text}".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=30, deadline=None)
@given(secret=SECRETS)
def test_value_is_found(form: str, secret: str) -> None:
    """A secret of the environment is in no text, in whatever form it stands there."""
    shown = FORMS[form](secret)
    text = redact(f"before {shown} after", {"DEMO_TOKEN": secret})

    assert shown.rstrip("=") not in text or shown in "before  after"
    assert HIDDEN in text
    assert text.startswith("before ")
    assert text.endswith(" after")


@settings(max_examples=40, deadline=None)
@given(text=st.text(), secret=SECRETS)
def test_text_without_secrets_is_left(text: str, secret: str) -> None:
    """A text in which none of the secrets is, and nothing that looks like one, stays as it is."""
    looks = ("://", "bearer ", "basic ", "gh", "xox", "ya29", "lading_")
    if any(each in text.lower() for each in looks):
        return
    variables = {"DEMO_TOKEN": secret, "HOME": "/home/somebody"}
    if not any(each in text for each in secrets_of(variables)):
        assert redact(text, variables) == text


@settings(max_examples=40, deadline=None)
@given(text=st.text(), secret=SECRETS)
def test_twice_is_once(text: str, secret: str) -> None:
    """What was redacted is not changed by redacting it again."""
    once = redact(f"{text}{secret}{text}", {"DEMO_TOKEN": secret})

    assert redact(once, {"DEMO_TOKEN": secret}) == once


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "gh_token",
        "ZENODO_SANDBOX_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "PGPASSWORD",
        "SLACK_WEBHOOK_URL",
        "SENTRY_DSN",
        "GOOGLE_CREDENTIALS",
        "ZULIP_API_KEY",
        "ZULIP_APIKEY",
        "BOT_PAT",
        "HTTP_AUTH",
        "SSH_PRIVATE_KEY",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """What these names hold is a secret."""
    assert redact(f"a {CANARY} b", {name: CANARY}) == f"a {HIDDEN} b"


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "GITHUB_REPOSITORY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "SSH_PRIVATE_KEY_PATH",
        "KEYBOARD",
        "PATTERN",
        "AUTHOR",
        "MONKEY",
    ],
)
def test_names_of_no_secrets(name: str) -> None:
    """What these names hold may be seen."""
    assert redact(f"a {CANARY} b", {name: CANARY}) == f"a {CANARY} b"


@pytest.mark.parametrize("value", ["", "1", "true", "nightly", "       ", "       \n       "])
def test_short_values(value: str) -> None:
    """What is too short to be a secret does not blot out ordinary words."""
    assert redact(f"a nightly build, 1 of true{value}", {"X_TOKEN": value}).startswith("a nightly")


def test_secret_with_lines() -> None:
    """Each line of a key is one, with or without the space around it, and so is the whole."""
    key = "-----BEGIN KEY-----\n  abcdefgh12345678  \n\n-----END KEY-----\n"
    variables = {"DEPLOY_KEY": key}

    assert redact("x abcdefgh12345678 y", variables) == f"x {HIDDEN} y"
    assert "abcdefgh" not in redact(json.dumps({"key": key}), variables)


def test_longer_goes_first() -> None:
    """Of two secrets one of which holds the other nothing is left over."""
    variables = {"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefgh-and-more"}

    assert redact("x abcdefgh-and-more y", variables) == f"x {HIDDEN} y"
    assert secrets_of(variables)[0].startswith("YWJj") or len(secrets_of(variables)[0]) >= 17


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://bot:pw@host/x and", "at https://***@host/x and"),
        ("'ssh://token@host/x'", "'ssh://***@host/x'"),
        ("https://host/a@b", "https://host/a@b"),
        ("Authorization: Bearer abc.def-ghi_jkl==", "Authorization: Bearer ***"),
        ("AUTHORIZATION: basic eDp5eDp5eDp5", "AUTHORIZATION: basic ***"),
        ("got ghp_0123456789abcdef0123 there", "got *** there"),
        ("ghs_0123456789abcdef0123,", "***,"),
        ("github_pat_0123456789abcdef_0123", "***"),
        ("xoxb-123456-abcdef", "***"),
        ("ya29.a0AfH6SM-x_y.z1", "***"),
        (f"a token lading_{'Ab_-' * 10}xyz.", "a token ***."),
        ("lading_a_name_of_a_bundle", "lading_a_name_of_a_bundle"),
        ("ghost_town, xox, commit 0123456789abcdef", "ghost_town, xox, commit 0123456789abcdef"),
    ],
)
def test_looks_of_secrets(text: str, shown: str) -> None:
    """What looks like a token of a service that we call is hidden although nobody named it."""
    assert redact(text, {}) == shown


def test_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of this process are looked up at each call."""
    assert redact(CANARY) == CANARY
    monkeypatch.setenv("DEMO_TOKEN", CANARY)
    assert redact(CANARY) == HIDDEN


def test_value_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable whose bytes are no UTF-8 does not stop a message."""
    monkeypatch.setitem(os.environb, b"DEMO_TOKEN", b"canary-\xff-canary")

    assert redact("all is well") == "all is well"
    assert redact("x canary-\udcff-canary y") == f"x {HIDDEN} y"


def test_a_redactor_looks_secrets_up_once() -> None:
    """What is made for many texts hides what ``redact`` hides, as it was when it was made."""
    environment = {"SOME_TOKEN": "hunter2hunter2"}
    hide = redactor(environment)
    text = "got hunter2hunter2 of https://me:mine@host/"
    assert hide(text) == redact(text, environment) == "got *** of https://***@host/"
    environment["OTHER_TOKEN"] = "swordfish1"
    assert hide("swordfish1") == "swordfish1"
