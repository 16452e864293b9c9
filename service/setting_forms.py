"""Validators of settings: each returns the value of a text, or raises ValueError with the remedy.

The message completes the sentence "SELLERTRUST_NAME = VALUE: ...".
"""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from scoring.base.errors import ConfigurationWrong
from scoring.entries.field_types import ID_FORM, is_id

PREFIX = "SELLERTRUST_"
MESH = "mesh"
"""Used in place of a folder of TLS files if a mesh ends TLS before the server."""
ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?P<port>\d{1,5})")


def require_address(text: str) -> str:
    """Return an address HOST:PORT to listen on; the port may be 0."""
    match = ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError("must be host:port with a port of 0 to 65535, such as 127.0.0.1:50051 or [::]:50051")
    return text


def require_target(text: str) -> str:
    # gRPC accepts other forms (dns:///, unix:), and takes an HTTP URL for a name that nothing resolves.
    """Return gRPC's target, such as HOST:PORT. Raises ValueError for an HTTP URL alone."""
    if re.match(r"(?i)https?:", text):
        raise ValueError("must be HOST:PORT, without http://")
    return text


def require_database(text: str) -> str:
    """Return the URL, with PostgreSQL's driver."""
    if not re.fullmatch(r"sqlite:///.+|postgresql(\+psycopg)?://.+", text):
        raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
    return text.replace("postgresql://", "postgresql+psycopg://", 1)


def require_readable_file(path: Path) -> Path:
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise ValueError("must be a file that this user can read")
    return path


def find_file(folder: Path | None, name: str) -> Path | None:
    """Return the path of a file in the folder; None if it, or the folder, is missing."""
    return folder / name if folder is not None and (folder / name).exists() else None


def require_tls(place: Path | str) -> Path | str:
    """Return `mesh`, or a folder with the certificate chain tls.crt and its key tls.key."""
    if str(place) == MESH:
        return MESH
    folder = make_absolute(Path(place))
    _require_files(folder, "tls.crt", "tls.key")
    return folder


def require_credentials(folder: Path) -> Path:
    """Return a folder with a caller's ca.crt, tls.crt with tls.key, and token, each optional.

    Raises ValueError without ca.crt and token, or for an incomplete pair.
    """
    has_pair = [name for name in ("tls.crt", "tls.key") if (folder / name).exists()]
    _require_files(folder, *(("tls.crt", "tls.key", "ca.crt") if has_pair else ()))
    if not any((folder / name).exists() for name in ("ca.crt", "token")):
        raise ValueError("must be a folder with ca.crt of the authorities to trust, a token, or both")
    return folder


def _require_files(folder: Path, *names: str) -> None:
    for name in names:
        if not ((folder / name).is_file() and os.access(folder / name, os.R_OK)):
            raise ValueError(f"must be a folder with {' and '.join(names)}; {name} is not there, or cannot be read")


def require_marketplace(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"must be {ID_FORM}")
    return text


def require_link(text: str) -> str:
    """Return an address for letters. Raises ValueError unless it is https, of printable ASCII without quotes, braces."""
    if text and not re.fullmatch(r"https://[!#-&(-;=?-z|~]+", text):
        raise ValueError("must be an address that begins with https://, without braces")
    return text


def require_contest_link(text: str) -> str:
    try:
        require_link(text.replace("{measure}", "measure"))
    except ValueError as error:
        raise ValueError(f"{error} other than {{measure}}") from None
    return text


def make_absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with the name of an unknown user") from None


def require_registry(place: Path | str) -> Path | str:
    """Return a folder, or an object store's URL, for which fsspec needs another package."""
    text = str(place)
    if "://" not in text:
        return make_absolute(Path(text))
    if not re.fullmatch(r"[a-z0-9][a-z0-9+]*(::[a-z0-9+]+)*://\S+", text):
        raise ValueError("must be a folder, or a URL such as s3://BUCKET/REGISTRY")
    return text


def require_socket(path: Path) -> Path:
    """Return the path. Raises ValueError without its folder, or beyond 100 bytes."""
    if not path.parent.is_dir():
        raise ValueError("must lie in a folder that is there")
    if len(os.fsencode(path)) > 100:  # the kernel's limit for an address
        raise ValueError("must be a path of at most 100 bytes")
    return path


def lower_if_text(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def split_words(value: object) -> object:
    """Return words between commas; none of `none`: `split_words("dsa, p2b") == ["dsa", "p2b"]`. Other values stay."""
    return [word.strip() for word in value.split(",") if word.strip() != "none"] if isinstance(value, str) else value


def default_data_dir() -> Path:
    """Return the data folder in the user's home; it need not exist. Raises ConfigurationWrong without a home."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if base.is_absolute():
        return base / "sellertrust"
    try:
        return Path("~/.local/share/sellertrust").expanduser()
    except RuntimeError:  # a container whose user has no name
        raise ConfigurationWrong(f"this user has no home: set {PREFIX}DATA_DIR to a folder that keeps data") from None


Address = Annotated[str, AfterValidator(require_address)]
OptionalAddress = Annotated[str, AfterValidator(lambda text: text and require_address(text))]
Folder = Annotated[Path, AfterValidator(make_absolute)]
OptionalFile = Annotated[Path, AfterValidator(require_readable_file)] | None
