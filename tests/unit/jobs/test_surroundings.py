"""Who runs a job, and in which image."""

import getpass
import os
import socket

import pytest

from lading.jobs.surroundings import name_image, name_who


def test_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person is named with the host."""
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    assert name_who({}) == f"ada on {socket.gethostname()}"


@pytest.mark.parametrize("error", [OSError, KeyError])
def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """A pod's user has a number only."""

    def raises() -> str:
        raise error("no such user")

    monkeypatch.setattr(getpass, "getuser", raises)
    assert name_who({}).startswith(f"user {os.getuid()} on ")


def test_workflow() -> None:
    """A run of CI is named with who began it."""
    given = {"GITHUB_RUN_ID": "7", "GITHUB_ACTOR": "ada", "GITHUB_REPOSITORY": "acme/data"}
    assert name_who(given) == f"ada by run 7 of acme/data on {socket.gethostname()}"


def test_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is what the pod was told, or nothing."""
    monkeypatch.delenv("LADING_IMAGE", raising=False)
    assert name_image() == ""
    monkeypatch.setenv("LADING_IMAGE", "registry.example/x@sha256:ab")
    assert name_image() == "registry.example/x@sha256:ab"
