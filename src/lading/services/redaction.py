"""Secrets taken out of what people and files get to see.

What the environment calls a secret is one, and so is what looks like a token of a service that
we call. The values are looked up at each call: nothing is remembered.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, quote_plus

HIDDEN = "***"
_SHORTEST = 8  # a shorter value is no secret, and would blot out ordinary words
_NAMES = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|WEBHOOK|PRIVATE|APIKEY|(^|_)(PAT|KEY|AUTH|DSN)($|_)",
    re.IGNORECASE,
)
_NO_SECRETS = re.compile(
    r"(_FILE|_PATH|_DIR|_VARIABLE|_HELPER)$|^GOOGLE_APPLICATION_CREDENTIALS$|DISABLE_",
    re.IGNORECASE,
)
_LOOKS = (
    re.compile(r"(?<=://)[^/\s@'\"]+(?=@)"),  # user and password of a URL
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}"),
    re.compile(r"(?i)(?<=basic )[A-Za-z0-9+/=]{8,}"),
    re.compile(r"\b(gh[a-z]_\w{16,}|github_pat_\w{16,}|xox[a-z]-[\w-]{8,}|ya29\.[\w.-]{8,})"),
    re.compile(r"\blading_[\w-]{43}"),  # of our own API; see ledger.tokens
)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text without the secrets of the environment, or what looks like some.

    A value is found as it stands, base64-encoded with a user before it, and percent-encoded.

    Args:
        text: what somebody may see.
        environment: variables of this process, unless others are given.
    """
    return redactor(environment)(text)


def redactor(environment: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return what redacts as ``redact`` does, for many texts: secrets are looked up now, once."""
    secrets = secrets_of(os.environ if environment is None else environment)

    def hide(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        for look in _LOOKS:
            text = look.sub(HIDDEN, text)
        return text

    return hide


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """Return what must not be seen, longest first: of two, one may hold the other."""
    found = {form for value in _values(environment) for form in _forms(value)}
    return sorted(found, key=lambda each: (-len(each), each))


def _values(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _NAMES.search(name) and not _NO_SECRETS.search(name):
            lines = {value, value.strip(), *map(str.strip, value.splitlines())}
            yield from (line for line in lines if len(line) >= _SHORTEST)


def _forms(value: str) -> Iterator[str]:
    yield value
    for safe in ("", "/"):
        encoded = quote(value, safe=safe, errors="surrogateescape")
        yield from (encoded, re.sub("%..", lambda found: found[0].lower(), encoded))
    yield quote_plus(value, errors="surrogateescape")
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    for user in ("", "x-access-token:", ":", "_json_key:", "oauth2accesstoken:"):
        whole = f"{user}{value}".encode(errors="surrogateescape")
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(whole).decode().rstrip("=")
