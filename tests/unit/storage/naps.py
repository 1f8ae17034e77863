"""Waits that are written down instead of waited for."""

import time

import pytest


def note_naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list that every wait before another try is written to from now on."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps
