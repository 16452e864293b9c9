"""Configuration: environment variables `SELLERTRUST_*`, every problem with them reported at once.

The data folder is in the user's home by default (`$XDG_DATA_HOME/sellertrust`, else `~/.local/share/sellertrust`), not
in the working directory: a command run elsewhere must not meet an empty ledger in silence.

An empty variable counts as not set, except `SELLERTRUST_METRICS_ADDRESS`, where it means off. The variables are read
here and not by pydantic-settings, which ignores names that it does not know.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from scoring.errors import ConfigurationWrong
from sellertrust.local import is_loopback_host
from service.setting_forms import (
    ADDRESS,
    PREFIX,
    Address,
    Folder,
    OptionalAddress,
    OptionalFile,
    absolute,
    default_data_dir,
    is_database,
    is_long_enough,
    is_marketplace,
    is_registry,
    is_socket,
    is_target,
    lower,
)

HIDDEN = "***"
_TLS = f"{PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY"

# What Kubernetes sets in every container beside a service of a name that begins with `sellertrust`.
_KUBERNETES = re.compile(rf"{PREFIX}(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_KUBERNETES_LINK = re.compile(rf"{PREFIX}(\w+_)?PORT")
_PASSWORD = re.compile(r"(?<=://).*@|(?<=[?&]password=)[^&]*")


class Settings(BaseModel):
    """The configuration, immutable. Read it with `load`, which explains what is wrong; every field has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Folder = Field(default_factory=default_data_dir, description="Folder of the ledger and the models")
    database_url: Annotated[str, AfterValidator(is_database)] = Field(
        default_factory=lambda data: f"sqlite:///{data['data_dir'] / 'ledger.db'}",
        description="The ledger's database: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
    )
    registry: Annotated[Path | str, AfterValidator(is_registry)] = Field(
        default_factory=lambda data: data["data_dir"] / "registry",
        description="Folder or URL (such as s3://BUCKET/REGISTRY) of the published models",
    )
    policy: OptionalFile = Field(default=None, description="Policy file; empty for the one that is shipped")
    loss_certificate: OptionalFile = Field(
        default=None, description="Loss certificate whose assumptions metrics hold against the ledger; empty for none"
    )
    address: Address = Field(default="127.0.0.1:50051", description="Where the gRPC server listens; port 0: any free")
    metrics_address: OptionalAddress = Field(
        default="127.0.0.1:9464",
        description="Where Prometheus finds /metrics, in plain HTTP; empty to turn it off",
    )
    tls_certificate: OptionalFile = Field(default=None, description="Certificate chain of the server, PEM")
    tls_key: OptionalFile = Field(default=None, description="Private key of the certificate, PEM")
    tls_client_ca: OptionalFile = Field(
        default=None,
        description="Authorities whose certificates clients must show, PEM; empty: no client certificates",
    )
    grants: OptionalFile = Field(
        default=None,
        description="File of who may do what, TOML; empty: whoever reaches a server on loopback may do everything",
    )
    mesh_tls: bool = Field(
        default=False,
        description="Whether a mesh ends TLS before the server, which speaks plain text: only tokens name callers",
    )
    socket: Annotated[Path, AfterValidator(absolute), AfterValidator(is_socket)] | None = Field(
        default=None,
        description="Unix socket to listen on besides, by which this user may do everything; empty: none",
    )
    reflection: Annotated[Literal["auto", "on", "off"], BeforeValidator(lower)] = Field(
        default="auto",
        description="Whether tools may ask what the contract holds: on, off, or auto: on loopback, without a mesh",
    )
    audit_file: Annotated[Path, AfterValidator(absolute)] = Field(
        default_factory=lambda data: data["data_dir"] / "audit.jsonl",
        description="File of a line for each privileged call, chained by hashes; a call that cannot be written is refused",
    )
    audit_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        default=None, description="Days after which lines of the audit file are cut off; empty: never"
    )
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(lower)] = Field(
        default="auto", description="json, console, or auto: console on a terminal"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = Field(
        default="info", description="The least that is logged: debug, info, warning or error"
    )
    pseudonym_key: Annotated[SecretStr, AfterValidator(is_long_enough)] | None = Field(
        default=None,
        description="Secret key of the pseudonyms of sellers in the log; empty: a random one each start",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that serve on the one address; more than 1 needs PostgreSQL",
    )
    worker_threads: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Threads that answer GetTrustScore; at most half of them compute scores",
    )
    slow_threads: int = Field(
        default=4,
        ge=1,
        le=256,
        description="Threads that read the database: explanations, lists, violations; as many batches may compute scores",
    )
    stream_threads: int = Field(
        default=32, ge=1, le=1024, description="Streams (StreamEntries, WatchEntries) that may be open at a time"
    )
    client_streams: int = Field(
        default_factory=lambda data: (data["stream_threads"] + 1) // 2,
        ge=1,
        le=1024,
        description="Streams that one client (by principal under grants, else by host) may have open; empty: half of all",
    )
    connection_calls: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Calls that one connection may have at a time; its client lets further ones wait",
    )
    max_connections: int = Field(
        default=1_000, ge=1, le=100_000, description="Connections that may be open at a time; further ones are closed"
    )
    book_sellers: int = Field(
        default=100_000, ge=0, le=100_000_000, description="Sellers whose scores a server remembers; 0 turns that off"
    )
    book_fresh_seconds: float = Field(
        default=2.0,
        gt=0,
        le=3_600,
        description="Age of the last look at the ledger beyond which a remembered score is stale",
    )
    book_stale_hours: float = Field(
        default=168.0,
        ge=0,
        le=24 * 366,
        description="Age up to which a remembered score is answered, as stale, while the ledger's database is away",
    )
    generations: Folder = Field(
        default_factory=lambda data: data["data_dir"] / "generations",
        description="Folder of the scores that `rescore` writes beforehand; on a disk of the machine that serves",
    )
    drain_seconds: float = Field(
        default=0.5,
        ge=0,
        le=300,
        description="Time between saying NOT_SERVING and refusing calls, on SIGTERM",
    )
    marketplace: Annotated[str, AfterValidator(is_marketplace)] = Field(
        default="default", description="Marketplace that the command line means by default"
    )
    target: Annotated[str, AfterValidator(is_target)] = Field(
        default="127.0.0.1:50051", description="Server that the command line asks"
    )
    target_ca: OptionalFile = Field(
        default=None, description="Authorities to trust when asking it, PEM; empty: no TLS to the server"
    )
    target_certificate: OptionalFile = Field(
        default=None, description="Certificate chain to show it when it asks for one, PEM"
    )
    target_key: OptionalFile = Field(default=None, description="Private key of that certificate, PEM")
    target_token: OptionalFile = Field(default=None, description="File of a bearer token to show it")


class SettingRow(NamedTuple):
    """One setting as the doctor shows it."""

    name: str
    variable: str
    value: str
    source: Literal["default", "environment"]


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment (default: this process's); others have defaults.

    ConfigurationWrong names every unknown or wrong one at once.
    """
    given = {
        name.upper(): value
        for name, value in (os.environ if environment is None else environment).items()
        if name.upper().startswith(PREFIX)
    }
    problems = [_unknown(name) for name in sorted(given) if not _is_known(name, given[name])]
    values = {
        name: given[_variable(name)]
        for name in Settings.model_fields
        if given.get(_variable(name)) or (name == "metrics_address" and _variable(name) in given)
    }
    bad: set[str] = set()
    try:
        settings = _validate(values)
    except ValidationError as error:
        found = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        bad = {str(e["loc"][0]) for e in found}
        problems += [_bad_value(str(e["loc"][0]), values, e) for e in found]
        settings = _validate({name: value for name, value in values.items() if name not in bad})
    problems += [text for names, text in _contradictions(settings) if not bad & names]
    if problems:
        raise ConfigurationWrong("\n".join(problems))
    return settings


def describe(settings: Settings) -> list[SettingRow]:
    """Return a row for each setting: name, variable, value and source.

    Secrets and the passwords in URLs are hidden.
    """
    return [
        SettingRow(
            name,
            _variable(name),
            _shown(name, getattr(settings, name)),
            "environment" if name in settings.model_fields_set else "default",
        )
        for name in Settings.model_fields
    ]


def host_and_port(address: str) -> tuple[str, int]:
    """Split an address into host and port: `host_and_port("[::1]:50051") == ("::1", 50051)`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an address, HOST:PORT.

    A name other than localhost counts as public.
    """
    return is_loopback_host(host_and_port(address)[0])


def _is_this_machine(target: str) -> bool:
    """Return whether a target is a Unix socket or an address of loopback."""
    return target.startswith("unix:") or (bool(ADDRESS.fullmatch(target)) and is_loopback(target))


def _validate(values: Mapping[str, str]) -> Settings:
    """Return the settings of values that are texts."""
    return Settings.model_validate(dict(values))


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _is_known(variable: str, value: str) -> bool:
    names = {_variable(name) for name in Settings.model_fields}
    if variable in names or _KUBERNETES.fullmatch(variable):
        return True
    return bool(_KUBERNETES_LINK.fullmatch(variable)) and value.startswith(("tcp://", "udp://", "sctp://"))


def _unknown(variable: str) -> str:
    close = difflib.get_close_matches(variable.removeprefix(PREFIX).lower(), Settings.model_fields, n=1)
    advice = f"did you mean {_variable(close[0])}?" if close else "unset it; `sellertrust doctor` lists them"
    return f"{variable} is not a setting: {advice}"


def _bad_value(name: str, values: Mapping[str, str], error: Any) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    shown = f" = {_shown(name, values[name])!r}" if name in values else ""
    return f"{_variable(name)}{shown}: {text} ({Settings.model_fields[name].description})"


def _contradictions(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """Yield what does not go together: (settings concerned, problem and remedy)."""
    tls = {"tls_certificate", "tls_key"}
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        missing = "tls_key" if settings.tls_key is None else "tls_certificate"
        yield (
            tls,
            f"{_variable(missing)} is missing: TLS needs a certificate and its key, so set it, or unset both",
        )
    elif settings.tls_certificate is None and settings.tls_client_ca is not None:
        yield {*tls, "tls_client_ca"}, f"{_variable('tls_client_ca')} needs TLS: set {_TLS}"
    yield from _reachable(settings)
    if settings.processes > 1 and settings.database_url.startswith("sqlite:"):
        yield (
            {"processes", "database_url", "data_dir"},
            f"{_variable('processes')} = {settings.processes} needs PostgreSQL, since a SQLite ledger has one writer; set"
            f" {_variable('database_url')} to postgresql://USER:PASSWORD@HOST/NAME, or {_variable('processes')} to 1",
        )
    shown = {"target_certificate", "target_key"}
    if (settings.target_certificate is None) != (settings.target_key is None):
        missing = "target_key" if settings.target_key is None else "target_certificate"
        text = f"{_variable(missing)} is missing: a certificate is shown with its key, so set it, or unset both"
        yield shown, text
    elif settings.target_certificate is not None and settings.target_ca is None:
        text = f"{_variable('target_certificate')} needs TLS to the server: set {_variable('target_ca')}"
        yield {*shown, "target_ca"}, text
    if settings.target_token is not None and settings.target_ca is None and not _is_this_machine(settings.target):
        text = f"{_variable('target_token')} is shown over TLS alone: set {_variable('target_ca')}"
        yield {"target_token", "target_ca", "target"}, text


def _reachable(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """Yield what lets in whoever comes: (settings concerned, problem and remedy)."""
    tls, mesh = {"tls_certificate", "tls_key"}, _variable("mesh_tls")
    if settings.mesh_tls and settings.tls_certificate is not None:
        yield (
            {*tls, "mesh_tls"},
            f"{mesh} says that a mesh ends TLS, and {_TLS} that the server does; unset one of them",
        )
    if settings.mesh_tls and settings.grants is None:
        yield {"mesh_tls", "grants"}, f"{mesh} needs {_variable('grants')}, since a sidecar brings calls of everybody"
    if is_loopback(settings.address):
        return
    reached = f"{_variable('address')} = {settings.address!r}: other machines can reach it"
    if settings.tls_certificate is None and not settings.mesh_tls:
        yield (
            {*tls, "mesh_tls", "address"},
            f"{reached}, and there is no TLS; set {_TLS}, or {mesh} if a mesh ends TLS, or listen on 127.0.0.1",
        )
    if settings.grants is None and not settings.mesh_tls:
        yield (
            {"grants", "mesh_tls", "address"},
            f"{reached}, and nothing says who may do what; set {_variable('grants')} to a file of grants, or listen on"
            f" 127.0.0.1",
        )


def _shown(name: str, value: object) -> str:
    if name == "pseudonym_key":
        return HIDDEN if value else ""
    text = "" if value is None else str(value)
    return _PASSWORD.sub(lambda match: f"{HIDDEN}@" if match[0].endswith("@") else HIDDEN, text)
