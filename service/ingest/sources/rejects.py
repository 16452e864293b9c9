import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scoring.base.errors import ConfigurationWrong
from service.files import owner_only_opener, sync_folder
from service.ingest.sources.source import Message


class RejectFile:
    """Private to its owner.

    After a crash between a reject and its position, the message is rejected once more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, source: str, messages: Sequence[Message], reasons: Mapping[int, str]) -> None:
        """Append messages with a reason, by index, as JSON lines; wait for the disk. Raises ConfigurationWrong."""
        if not reasons:
            return
        lines = [
            {
                "source": source,
                "partition": messages[index].partition,
                "position": messages[index].next_position - 1,
                "reason": reason,
                "payload": base64.b64encode(messages[index].payload).decode(),
            }
            for index, reason in sorted(reasons.items())
        ]
        try:
            if self._file is None:
                self._file = _open_at_new_line(self.path)
            self._file.write("".join(f"{json.dumps(line, ensure_ascii=True)}\n" for line in lines).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigurationWrong(
                f"rejected messages cannot be kept in {self.path}: {(error.strerror or str(error)).lower()}; reading"
                " stands before them; mend this, or name another file by --rejects"
            ) from None


def _open_at_new_line(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+b", opener=owner_only_opener)  # noqa: SIM115 `Path.open` takes no opener
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    sync_folder(path.parent)
    return file
