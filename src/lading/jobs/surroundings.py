"""Who runs a job, and in which image: facts of this process for the audit trail."""

import getpass
import os
import socket
from collections.abc import Mapping

IMAGE_VARIABLE = "LADING_IMAGE"
"""Variable that names the image a pod runs, with its digest."""


def name_who(environment: Mapping[str, str] | None = None) -> str:
    """Say who runs this process: a person or a CI run, and the host."""
    given = os.environ if environment is None else environment
    host = socket.gethostname()
    if given.get("GITHUB_RUN_ID"):
        actor = given.get("GITHUB_ACTOR", "somebody")
        place = given.get("GITHUB_REPOSITORY", "a workflow")
        return f"{actor} by run {given['GITHUB_RUN_ID']} of {place} on {host}"
    return f"{_user()} on {host}"


def name_image() -> str:
    """Return the image that this process runs in, or ""."""
    return os.environ.get(IMAGE_VARIABLE, "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a pod's user has a number and no name
        return f"user {os.getuid()}"
