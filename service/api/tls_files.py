import ssl
import threading
from pathlib import Path

import grpc

from scoring.base.errors import ConfigurationWrong
from sellertrust.machine import file_state
from service.api.telemetry.logs import Log


class TlsFiles:
    """The server's certificate, key and client authorities, read again when the files change.

    Unusable files (half written, key of another certificate) are logged, and the last good ones stay in use.
    """

    def __init__(self, folder: Path, log: Log) -> None:
        """Take the folder: tls.crt, tls.key, and client-ca.crt if callers must show certificates."""
        names = ("tls.crt", "tls.key", "client-ca.crt")
        self._paths = [folder / name for name in names if name != names[2] or (folder / name).exists()]
        self._log = log
        self._lock = threading.Lock()
        self._files_in_use: object = None

    def credentials(self) -> grpc.ServerCredentials:
        """Return gRPC credentials that read changed files. Raises ConfigurationWrong if the files are unusable now."""
        try:
            self._files_in_use = self._read_file_states()
            first = self._load_files()
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationWrong(
                f"the files in SELLERTRUST_TLS cannot be used: {error}; give PEM files of one certificate and its"
                " unencrypted key"
            ) from None
        return grpc.dynamic_ssl_server_credentials(first, self._fetch_changed_files, len(self._paths) > 2)  # type: ignore[arg-type]

    def _fetch_changed_files(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new files for a handshake; None keeps those in use. Called by gRPC."""
        with self._lock:
            try:
                state = self._read_file_states()
                if state == self._files_in_use:
                    return None
                self._files_in_use = state
                fresh = self._load_files()
            except OSError as error:
                self._log.warning("tls files refused, the last good ones stay in use", problem=str(error))
                return None
            self._log.info("tls files renewed")
            return fresh

    def _read_file_states(self) -> object:
        return [file_state(path) for path in self._paths]

    def _load_files(self) -> grpc.ServerCertificateConfiguration:
        context = ssl.SSLContext(
            ssl.PROTOCOL_TLS_SERVER
        )  # gRPC would take files that do not match, and fail each handshake
        context.load_cert_chain(self._paths[0], self._paths[1], password=lambda: b"")
        for path in self._paths[2:]:
            context.load_verify_locations(path)
        certificate, key, *client_ca = [path.read_bytes() for path in self._paths]
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca[0] if client_ca else None)
