from pathlib import Path
from urllib.parse import unquote, urlsplit

from service.registry.folder_storage import FolderStorage
from service.registry.storage import Storage


def storage_of(place: Path | str) -> Storage:
    """Return the storage at a path (a folder) or a URL (an object store).

    Raises ConfigurationWrong if the URL's package is not installed.
    """
    text = str(place)
    if isinstance(place, Path) or "://" not in text:
        return FolderStorage(Path(place))
    if text.startswith(("file://", "local://")):
        return FolderStorage(Path(unquote(urlsplit(text).path)))
    from service.registry.object_storage import ObjectStorage

    return ObjectStorage(text)
