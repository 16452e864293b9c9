"""The storage at a path or a URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.registry.folder_storage import FolderStorage
from service.registry.storage import Storage


def storage_of(place: Path | str) -> Storage:
    """Return the storage for a registry at a path or URL: a folder, or an object store.

    ConfigurationWrong if no package for this kind of URL is installed.
    """
    text = str(place)
    if isinstance(place, Path) or "://" not in text:
        return FolderStorage(Path(place))
    if text.startswith(("file://", "local://")):
        return FolderStorage(Path(unquote(urlsplit(text).path)))
    from service.registry.object_storage import ObjectStorage

    return ObjectStorage(text)
