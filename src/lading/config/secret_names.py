"""Which names of variables are likely to hold a secret, and which values hold one. Pure."""

import re

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|_PWD$|CREDENTIAL|WEBHOOK|PRIVATE|APIKEY|(^|_)(PAT|KEY|AUTH|DSN)($|_)",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"(_FILE|_PATH|_DIR|_VARIABLE|_HELPER)$|^GOOGLE_APPLICATION_CREDENTIALS$|DISABLE_",
    re.IGNORECASE,
)
_USER_OF_URL = re.compile(r"://[^/\s@]+@")


def is_secret_name(name: str) -> bool:
    """Say whether a variable of this name is likely to hold a secret."""
    return bool(_SECRET.search(name)) and not _NO_SECRET.search(name)


def holds_user(text: str) -> bool:
    """Say whether a text holds a URL with a user, or a user and a password, in it."""
    return bool(_USER_OF_URL.search(text))
