"""What the tests of deposits share: a release of a few small files, and a target for it."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lading.release.receipts import Stamp
from lading.services.deposit_plan import DepositFile
from lading.services.deposit_settings import DepositSettings
from lading.services.inveniordm import ACCEPT, InvenioRdm
from lading.services.journal import Journal
from lading.services.rest import Answer, RestClient
from lading.services.zenodo import DepositTarget
from tests.fakes.inveniordm import FakeInvenioRdm

TOKEN = "token-of-ours"
TAG = "v2025.2.0"
FILES = {"a.zip": b"aaaa" * 100, "b.parquet": b"bb" * 300, "release.json": b"{}\n"}
METADATA: dict[str, Any] = {
    "title": "Energy data",
    "description": "<p>All of it &amp; more.</p>",
    "creators": [
        {"person_or_org": {"type": "personal", "family_name": "Doe", "given_name": "Jo"}},
        {"person_or_org": {"type": "organizational", "name": "Open Data Team"}},
    ],
    "rights": [{"id": "cc-by-4.0"}],
    "resource_type": {"id": "dataset"},
    "publisher": "Zenodo",
}


class KilledError(BaseException):
    """The process is gone."""


class CutClient(RestClient):
    """A client whose process is killed at its n-th request: nothing is asked from then on.

    Args:
        number: which request, counted from 1; 0 kills nothing.
        after: whether that request is still done, its answer lost.
    """

    def __init__(self, *arguments: Any, number: int = 0, after: bool = False, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.number = number
        self.after = after
        self.asked = 0

    def ask(self, method: str, path: str, **more: Any) -> Answer:
        """Ask, until the process is killed."""
        self.asked += 1
        if self.number and (
            self.asked > self.number or (self.asked == self.number and not self.after)
        ):
            raise KilledError
        answer = super().ask(method, path, **more)
        if self.number and self.asked >= self.number:
            raise KilledError
        return answer


@dataclass
class Scene:
    """A service and a person's folder."""

    fake: FakeInvenioRdm
    folder: Path
    slept: list[float] = field(default_factory=list)

    def client(self, *, token: str = TOKEN, **more: Any) -> CutClient:
        """Return a client of the service."""
        return CutClient(
            "Zenodo",
            f"{self.fake.url}/api",
            token=token,
            headers={"Accept": ACCEPT},
            sleep=self.slept.append,
            **more,
        )

    def api(self, **more: Any) -> InvenioRdm:
        """Return the API of the service."""
        return InvenioRdm(self.client(**more), self.slept.append)

    def journal(self, name: str = TAG) -> Journal:
        """Return the notes on a tag."""
        return Journal(self.folder / f"{name}.journal.json", name)

    def files(self, contents: Mapping[str, bytes]) -> list[DepositFile]:
        """Return files to deposit."""
        return [self.file(key, data) for key, data in contents.items()]

    def file(self, key: str, data: bytes) -> DepositFile:
        """Return a file to deposit; it is written when it must be sent."""

        @contextmanager
        def give() -> Iterator[Path]:
            path = self.folder / f"{hashlib.sha256(data + key.encode()).hexdigest()}.part"
            path.write_bytes(data)
            yield path

        return DepositFile(key, len(data), md5_of(data), give)

    def target(
        self,
        contents: Mapping[str, bytes] = FILES,
        *,
        tag: str = TAG,
        api: InvenioRdm | None = None,
        metadata: Mapping[str, Any] = METADATA,
        journal: Journal | None = None,
        **settings: Any,
    ) -> DepositTarget:
        """Return a target that publishes, unless the settings say otherwise."""
        chosen = {"publish": True, "manifest_sha256": "1" * 64, **settings}
        stamp = Stamp(
            task="zenodo",
            project="energy",
            channel="stable",
            tag=tag,
            environment="production",
            manifest_sha256=chosen["manifest_sha256"],
        )
        return DepositTarget(
            api or self.api(),
            DepositSettings(project="energy", channel="stable", tag=tag, **chosen),
            metadata,
            self.files(contents),
            stamp,
            journal or self.journal(tag),
        )

    def published(self) -> list[tuple[str, dict[str, bytes]]]:
        """Return version and files of all that is published, in its order."""
        found = [each for each in self.fake.state.drafts.values() if each.is_published]
        return [
            (
                each.metadata.get("version", ""),
                {key: file.stored or b"" for key, file in sorted(each.files.items())},
            )
            for each in sorted(found, key=lambda one: int(one.id))
        ]

    def cut(self, number: int, *, after: bool) -> Callable[..., InvenioRdm]:
        """Return the API of a process that is killed."""
        return lambda: self.api(number=number, after=after)


def md5_of(data: bytes) -> str:
    """Return the md5 as InvenioRDM tells it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
