"""Configuration by environment variables `SELLERTRUST_*`; all problems are reported at once.

The default data folder is in the user's home (`$XDG_DATA_HOME/sellertrust`, else `~/.local/share/sellertrust`). In the
working directory, a command run elsewhere would silently use an empty ledger.

A value `@FILE` is read from a file, such as a mounted secret. An empty variable counts as unset, except
`SELLERTRUST_METRICS_ADDRESS`, where it means off. pydantic-settings is not used because it ignores unknown names.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from scoring.base.errors import ConfigurationWrong
from sellertrust.machine import is_loopback_host, is_this_machine
from service.limits import Limits
from service.setting_forms import (
    MESH,
    PREFIX,
    Address,
    Folder,
    OptionalAddress,
    OptionalFile,
    default_data_dir,
    find_file,
    lower_if_text,
    make_absolute,
    require_contest_link,
    require_credentials,
    require_database,
    require_link,
    require_marketplace,
    require_registry,
    require_socket,
    require_target,
    require_tls,
    split_words,
)

HIDDEN = "***"
Law = Literal["dsa", "p2b"]

# Kubernetes sets these in every container beside a service whose name begins with `sellertrust`.
_KUBERNETES = re.compile(rf"{PREFIX}(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_KUBERNETES_LINK = re.compile(rf"{PREFIX}(\w+_)?PORT")
_PASSWORD = re.compile(r"(?<=://).*@|(?<=[?&]password=)[^&]*")


class Settings(BaseModel):
    """The immutable configuration, from `load`; every field has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Folder = Field(default_factory=default_data_dir, description="Folder of the ledger and the models")
    database_url: Annotated[str, AfterValidator(require_database)] = Field(
        default_factory=lambda data: f"sqlite:///{data['data_dir'] / 'ledger.db'}",
        description="The ledger's database: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
    )
    registry: Annotated[Path | str, AfterValidator(require_registry)] = Field(
        default_factory=lambda data: data["data_dir"] / "registry",
        description="Folder or URL (such as s3://BUCKET/REGISTRY) of the published models",
    )
    policy: OptionalFile = Field(default=None, description="Policy file; empty for the shipped policy")
    address: Address = Field(default="127.0.0.1:50051", description="Where the gRPC server listens; port 0: any free")
    metrics_address: OptionalAddress = Field(
        default="127.0.0.1:9464",
        description="Where Prometheus finds /metrics, in plain HTTP; empty to turn it off",
    )
    tls: Annotated[Path | str, AfterValidator(require_tls)] | None = Field(
        default=None,
        description="Folder with the server's tls.crt and tls.key, PEM, and client-ca.crt to require client"
        " certificates. Or mesh: a mesh ends TLS before the server, and only tokens name callers",
    )
    grants: OptionalFile = Field(
        default=None,
        description="File of grants, TOML; empty: all who reach a server on loopback may do everything",
    )
    socket: Annotated[Path, AfterValidator(make_absolute), AfterValidator(require_socket)] | None = Field(
        default=None,
        description="Unix socket to listen on besides; through it this user may do everything; empty: none",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower_if_text)] = Field(
        default="info", description="The least that is logged: debug, info, warning or error"
    )
    share_address: bool = Field(
        default=False,
        description="Whether other servers of this user may listen on the same address, to use more cores",
    )
    marketplace: Annotated[str, AfterValidator(require_marketplace)] = Field(
        default="default", description="Marketplace that the command line means by default"
    )
    target: Annotated[str, AfterValidator(require_target)] = Field(
        default="127.0.0.1:50051", description="Server that the command line asks"
    )
    target_credentials: Annotated[Path, AfterValidator(make_absolute), AfterValidator(require_credentials)] | None = (
        Field(
            default=None,
            description="Folder of PEM files for that server: ca.crt of the authorities to trust (without it: no TLS). Also,"
            " if the server asks for them: tls.crt and tls.key of the caller, and a bearer token in the file token",
        )
    )
    laws: Annotated[tuple[Law, ...], BeforeValidator(split_words)] = Field(
        default=("dsa", "p2b"),
        description="Laws that statements of reasons follow: dsa (also records), p2b, or none; separated by commas",
    )
    contest_link: Annotated[str, AfterValidator(require_contest_link)] = Field(
        default="", description="Address where sellers contest a measure, for letters; {measure} in it is the case"
    )
    redress_link: Annotated[str, AfterValidator(require_link)] = Field(
        default="", description="Address of a page that names dispute bodies and mediators, for letters"
    )
    limits: Limits = Limits()
    """Constants without a variable; only tests replace them."""

    @property
    def audit_file(self) -> Path:
        return self.data_dir / "audit.jsonl"

    @property
    def pseudonym_key(self) -> Path:
        """Return the file of the key under which logs name sellers and persons."""
        return self.data_dir / "pseudonym-key"

    @property
    def generations(self) -> Path:
        return self.data_dir / "generations"

    @property
    def scale(self) -> Path:
        return self.data_dir / "scale"

    @property
    def is_mesh(self) -> bool:
        """Return whether a mesh in front of the server does TLS."""
        return self.tls == MESH

    def server_file(self, name: str) -> Path | None:
        """Return a file of the TLS folder, if there."""
        return find_file(self.tls if isinstance(self.tls, Path) else None, name)

    def target_file(self, name: str) -> Path | None:
        """Return a file of the caller's credentials, if there."""
        return find_file(self.target_credentials, name)


VARIABLES = [name for name in Settings.model_fields if name != "limits"]


class SettingRow(NamedTuple):
    name: str
    variable: str
    value: str
    source: Literal["default", "environment"]


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment (default: this process's).

    Raises ConfigurationWrong with all unknown names and wrong values.
    """
    variables = {
        name.upper(): value
        for name, value in (os.environ if environment is None else environment).items()
        if name.upper().startswith(PREFIX)
    }
    files = [name for name, value in variables.items() if value.startswith("@")]
    problems = [problem for name in files if (problem := _read_file(variables, name))]
    problems += [_describe_unknown(name) for name in sorted(variables) if not _is_known(name, variables[name])]
    values = {
        name: variables[_name_variable(name)]
        for name in VARIABLES
        if variables.get(_name_variable(name)) or (name == "metrics_address" and _name_variable(name) in variables)
    }
    bad: set[str] = set()
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        errors = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        bad = {str(e["loc"][0]) for e in errors}
        problems += [_describe_bad_value(str(e["loc"][0]), values, e) for e in errors]
        settings = Settings.model_validate({name: value for name, value in values.items() if name not in bad})
    problems += [text for names, text in _find_contradictions(settings) if not bad & names]
    if problems:
        raise ConfigurationWrong("\n".join(problems))
    return settings


def describe(settings: Settings) -> list[SettingRow]:
    """Return a row for each setting, without passwords in URLs."""
    return [
        SettingRow(
            name,
            _name_variable(name),
            _show_value(getattr(settings, name)),
            "environment" if name in settings.model_fields_set else "default",
        )
        for name in VARIABLES
    ]


def host_and_port(address: str) -> tuple[str, int]:
    """Split an address: `host_and_port("[::1]:50051") == ("::1", 50051)`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach HOST:PORT. Names except localhost count as public."""
    return is_loopback_host(host_and_port(address)[0])


def _read_file(environment: dict[str, str], variable: str) -> str:
    """Replace a variable's `@FILE` by the file's text; return the problem, or ""."""
    path = Path(environment[variable][1:])
    try:
        environment[variable] = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        environment[variable] = ""
        return f"{variable} names a file that cannot be read: {path} ({getattr(error, 'strerror', None) or 'no text'})"
    return ""


def _name_variable(name: str) -> str:
    return PREFIX + name.upper()


def _is_known(variable: str, value: str) -> bool:
    names = {_name_variable(name) for name in VARIABLES}
    if variable in names or _KUBERNETES.fullmatch(variable):
        return True
    return bool(_KUBERNETES_LINK.fullmatch(variable)) and value.startswith(("tcp://", "udp://", "sctp://"))


def _describe_unknown(variable: str) -> str:
    close = difflib.get_close_matches(variable.removeprefix(PREFIX).lower(), VARIABLES, n=1)
    advice = f"did you mean {_name_variable(close[0])}?" if close else "unset it; `sellertrust doctor` lists them"
    return f"{variable} is not a setting: {advice}"


def _describe_bad_value(name: str, values: Mapping[str, str], error: Any) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    shown = f" = {_show_value(values[name])!r}" if name in values else ""
    return f"{_name_variable(name)}{shown}: {text} ({Settings.model_fields[name].description})"


def _find_contradictions(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """Yield (names of settings that contradict each other, the problem)."""
    yield from _find_unguarded(settings)
    if settings.target_file("token") and not settings.target_file("ca.crt") and not is_this_machine(settings.target):
        name = _name_variable("target_credentials")
        yield {"target_credentials", "target"}, f"{name} holds a token, which is sent over TLS only: add ca.crt to it"


def _find_unguarded(settings: Settings) -> Iterator[tuple[set[str], str]]:
    tls = _name_variable("tls")
    if settings.is_mesh and settings.grants is None:
        yield (
            {"tls", "grants"},
            f"{tls} = {MESH} needs {_name_variable('grants')}, since a sidecar brings calls of everybody",
        )
    if is_loopback(settings.address):
        return
    reached = f"{_name_variable('address')} = {settings.address!r}: other machines can reach it"
    if settings.tls is None:
        yield (
            {"tls", "address"},
            f"{reached}, and there is no TLS; set {tls} to a folder with tls.crt and tls.key, or to {MESH} if a mesh ends"
            " TLS, or listen on 127.0.0.1",
        )
    if settings.grants is None and not settings.is_mesh:
        yield (
            {"grants", "address"},
            f"{reached}, and nothing says who may do what; set {_name_variable('grants')} to a file of grants, or listen on"
            f" 127.0.0.1",
        )


def _show_value(value: object) -> str:
    text = ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
    return _PASSWORD.sub(lambda match: f"{HIDDEN}@" if match[0].endswith("@") else HIDDEN, text)
