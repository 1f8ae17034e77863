"""The progress hook that everything long calls: fsspec's callback, with files counted too."""

from fsspec.callbacks import Callback


class Progress(Callback):  # type: ignore[misc]  # fsspec ships no types
    """Progress of one task in bytes and files.

    ``set_size``, ``relative_update`` and ``absolute_update`` are fsspec's own and count
    bytes. They may raise ``Interrupted`` in the caller: every piece of work is a place
    where a run can stop. May be called from several threads.
    """

    def set_files(self, total: int) -> None:
        """Announce how many files there are."""

    def start_file(self, name: str) -> None:
        """Announce that the work on one file begins."""

    def finish_file(self, name: str) -> None:
        """Announce that the work on one file has ended well."""


NO_PROGRESS = Progress()
