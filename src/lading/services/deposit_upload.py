"""The files of a draft: several at once, each sent whole, and again where it did not arrive so."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, local

from lading.errors import ServiceError, UnansweredError, VerifyError
from lading.services.deposit_plan import DepositFile, is_right
from lading.services.inveniordm import FileEntry, InvenioRdm
from lading.storage.progress import Progress

WORKERS = 4
TRIES = 4  # of one file, whole: InvenioRDM takes no parts yet (zenodo-rdm#1443)
_PAUSE_S = 2.0
_LOST = {404, 409}  # a service that could not take the bytes forgets the file with them


class _StoppedError(ServiceError):
    """Another file could not be sent, so that this one is not sent either."""


class FileSender:
    """Sends files into a draft of ours.

    Args:
        api: the service.
        draft: identifier of the draft.
        progress: told of bytes and files; what it raises ends the sending.
    """

    def __init__(self, api: InvenioRdm, draft: str, progress: Progress) -> None:
        self._api = api
        self._draft = draft
        self._progress = _StoppableProgress(progress)

    def send(self, files: Mapping[str, DepositFile]) -> None:
        """Send files that the draft does not have.

        Effects: they stand in the draft, whole.

        Raises:
            ServiceError, VerifyError: one does not, however often it was sent.
        """
        self._progress.set_size(sum(each.size_bytes for each in files.values()))
        self._progress.set_files(len(files))
        self._api.watch(self._progress)
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="deposit") as pool:
            sent = [pool.submit(self._send, each) for each in files.values()]
            try:
                _require_all(sent)
            except BaseException:
                self._progress.stopped.set()
                pool.shutdown(cancel_futures=True)
                raise
            finally:
                self._api.watch(self._progress.watched)

    def _send(self, file: DepositFile) -> None:
        self._progress.start_file(file.key)
        with file.open() as path:
            _require_size(path, file)
            for turn in range(TRIES):
                self._progress.forget_own()
                failure = self._send_once(file, path)
                if failure is None:
                    self._progress.finish_file(file.key)
                    return
                self._progress.take_back_own()
                self._api.delete_file(self._draft, file.key)
                if turn + 1 == TRIES:
                    raise failure
                self._api.pause(_PAUSE_S * 2**turn)

    def _send_once(self, file: DepositFile, path: Path) -> ServiceError | VerifyError | None:
        """Send a file; return None where it then stands, else what went wrong."""
        try:
            self._api.register(self._draft, file.key)
            self._api.put_content(self._draft, file.key, path, file.size_bytes)
            found: FileEntry | None = self._api.commit(self._draft, file.key)
        except UnansweredError as error:
            found = self._look_after(file)
            if found is None:
                return error
        except ServiceError as error:
            if error.status not in _LOST:
                raise
            return error
        return None if found and is_right(file, found) else self._wrong(file, found)

    def _look_after(self, file: DepositFile) -> FileEntry | None:
        """Read back a file whose sending was not answered; complete it where it has arrived."""
        found = self._api.file(self._draft, file.key)
        if found is None or found.is_complete:
            return found
        try:
            return self._api.commit(self._draft, file.key)
        except ServiceError:
            return None  # nothing has arrived, or not all of it

    def _wrong(self, file: DepositFile, found: FileEntry | None) -> VerifyError:
        told = f"{found.size_bytes} of md5 {found.md5 or 'unknown'}" if found else "none"
        return VerifyError(
            f"{self._api.name}: draft {self._draft}: {file.key}: expected {file.size_bytes} bytes"
            f" of md5 {file.md5}, found {told}",
            hint="run the same command again; the file is sent anew",
        )


class _StoppableProgress(Progress):
    """Passes on what is told, until another thread has failed.

    Args:
        watched: whom to tell.
    """

    def __init__(self, watched: Progress) -> None:
        super().__init__()
        self.watched = watched
        self.stopped = Event()
        self._own = local()

    def set_size(self, size: int) -> None:
        self.watched.set_size(size)

    def set_files(self, total: int) -> None:
        self.watched.set_files(total)

    def start_file(self, name: str) -> None:
        self.watched.start_file(name)

    def finish_file(self, name: str) -> None:
        self.watched.finish_file(name)

    def relative_update(self, inc: int = 1) -> None:
        if inc >= 0 and self.stopped.is_set():
            raise _StoppedError("another file could not be sent")
        self._own.told = getattr(self._own, "told", 0) + inc
        self.watched.relative_update(inc)

    def forget_own(self) -> None:
        """Begin to count anew what this thread tells."""
        self._own.told = 0

    def take_back_own(self) -> None:
        """Take back what this thread has told since then."""
        told, self._own.told = getattr(self._own, "told", 0), 0
        self.watched.relative_update(-told)


def _require_all(sent: Sequence[Future[None]]) -> None:
    for each in as_completed(sent):
        each.result()


def _require_size(path: Path, file: DepositFile) -> None:
    size_bytes = path.stat().st_size
    if size_bytes != file.size_bytes:
        raise VerifyError(
            f"{file.key}: expected a file of {file.size_bytes} bytes to send, got {size_bytes}",
            hint="it was changed since release.json was made: run the command from the start",
        )
