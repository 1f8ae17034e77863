"""What the person's kubeconfig files hold and nobody may see."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lading.services.redaction import HIDDEN

_TOKENS = (
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"),
    re.compile(r"k8s-aws-v1\.[\w-]+"),
    re.compile(r"(?i)(?<=token[\"'=: ])[\"'=: ]*[\w.~+/-]{12,}"),
)
_KEPT = re.compile(
    r"^[\s{,\-]*[\"']?(?:token|password|client-key-data|id-token|access-token|refresh-token"
    r"|client-secret)[\"']?\s*:\s*[\"']?(?P<value>[^\s\"',}]{6,})",
    re.MULTILINE,
)


def kubeconfig_secrets(environment: Mapping[str, str]) -> list[str]:
    """Return the passwords, tokens and keys in the files that kubectl reads, longest first.

    Args:
        environment: variables of this process; KUBECONFIG and HOME say where the files are.
    """
    named = [each for each in environment.get("KUBECONFIG", "").split(":") if each]
    found: set[str] = set()
    for each in named or [f"{environment.get('HOME', '')}/.kube/config"]:
        with suppress(OSError):  # kubectl says so itself
            text = Path(each).read_text(encoding="utf-8", errors="replace")
            found |= {match["value"] for match in _KEPT.finditer(text)}
    return sorted(found, key=lambda each: (-len(each), each))


def hide(text: str, secrets: Sequence[str]) -> str:
    """Return a text without these secrets, or what looks like a token for a cluster."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for look in _TOKENS:
        text = look.sub(HIDDEN, text)
    return text
