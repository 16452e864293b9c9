"""Files in a folder, or in an object store that several machines share."""

import os
import uuid
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from scoring.base.errors import ConfigurationWrong
from service.files import make_private


class Store:
    """Files by names below a folder, or below an fsspec URL such as `s3://bucket/scale`.

    A file is written whole or not at all. Raises ConfigurationWrong for an unusable folder or URL.
    """

    def __init__(self, place: str | Path) -> None:
        text = str(place)
        self._fs: Any = None
        if "://" in text and not text.startswith("file://"):
            self._fs, self._root = _open_url(text)
            self.place = text.rstrip("/")
        else:
            self._root = str(Path(unquote(urlsplit(text).path) if "://" in text else text).absolute())
            self.place = self._root

    def subfolder(self, name: str) -> Self:
        return type(self)(f"{self.place}/{name}")

    @property
    def is_emulated(self) -> bool:
        """Return whether the object store only looks for a file before it creates one."""
        from fsspec import AbstractFileSystem

        emulated = AbstractFileSystem.pipe_file
        return self._fs is not None and type(self._fs).pipe_file is emulated and not self._fs.async_impl

    def make_private(self) -> None:
        """Make the folder. Raises ConfigurationWrong if other users may write there."""
        if self._fs is None:
            make_private(Path(self._root))

    def size(self, name: str) -> int | None:
        """Return a file's length in bytes, asked anew; None if it is missing."""
        with suppress(FileNotFoundError, NotADirectoryError):
            if self._fs:
                self._fs.invalidate_cache()
                return int(self._fs.info(self._path(name))["size"] or 0)
            return Path(self._path(name)).stat().st_size
        return None

    def exists(self, name: str) -> bool:
        return self.size(name) is not None

    def read(self, name: str) -> bytes:
        """Return a file's bytes. Raises ConfigurationWrong if it is missing."""
        try:
            return bytes(self._fs.cat_file(self._path(name))) if self._fs else Path(self._path(name)).read_bytes()
        except FileNotFoundError:
            raise ConfigurationWrong(f"{self.place}/{name} is missing") from None

    def write(self, name: str, data: bytes) -> str:
        """Write a file, and return its SHA-256. It replaces an older file of this name, on a disk in one step.

        Raises ConfigurationWrong if a disk is full.
        """
        if self._fs:
            self._fs.pipe_file(self._path(name), data)
        else:
            staged = self._stage(name, data)
            staged.replace(self._path(name))
        return sha256(data).hexdigest()

    def create(self, name: str, data: bytes) -> bool:
        """Write a file only if none has its name; return whether it was written.

        A store without conditional writes may let two writers create it: the last one's stays.
        """
        try:
            if self._fs:
                self._fs.pipe_file(self._path(name), data, mode="create")
                return True
            staged = self._stage(name, data)
            try:
                os.link(staged, self._path(name))
            finally:
                staged.unlink()
        except FileExistsError:
            return False
        return True

    def list(self, under: str) -> list[str]:
        """Return the names of all files below a folder, at any depth, sorted."""
        if self._fs:
            self._fs.invalidate_cache()
            paths = [str(path) for path in self._fs.find(self._path(under).rstrip("/"))]
        else:
            paths = [str(path) for path in Path(self._path(under)).rglob("*") if path.is_file()]
        return sorted(path.removeprefix(self._root).lstrip("/") for path in paths)

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name)) if self._fs else Path(self._path(name)).unlink()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _stage(self, name: str, data: bytes) -> Path:
        path = Path(self._path(name))
        staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with staged.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            staged.unlink(missing_ok=True)
            if isinstance(error, OSError):
                problem = f"{path} cannot be written: {(error.strerror or str(error)).lower()}"
                raise ConfigurationWrong(f"{problem}; see to the disk, and repeat the command") from None
            raise
        return staged


def _open_url(url: str) -> tuple[Any, str]:
    import fsspec

    if "@" in url.split("://", 1)[1].split("/", 1)[0]:
        raise ConfigurationWrong(
            f"the URL of {url.rpartition('@')[2]} holds credentials; leave them to the environment"
        )
    try:
        fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise ConfigurationWrong(
            f"{url} cannot be used: {error}; the extras s3, gcs and azure bring packages: pip install 'sellertrust[s3]'"
        ) from None
    except ValueError as error:
        raise ConfigurationWrong(f"{url} cannot be used: {error}") from None
    return fs, str(root).rstrip("/")
