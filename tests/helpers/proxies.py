import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Forwards connections to `target` (host:port) until `cut` breaks all open ones.

    `source` is the local host they come from; it listens on `port`, 0: any free one.
    """

    def __init__(self, target: str, source: str = "127.0.0.1", port: int = 0) -> None:
        self.target = target
        self.source = source
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            self.cuts += 1
            ends, self._open = self._open, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    host, port = self.target.split(":")
                    far = socket.create_connection((host, int(port)), source_address=(self.source, 0))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._open |= {near, far}
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        source.close()
        with self._lock:
            self._open.discard(source)


@contextmanager
def proxy_to(target: str, source: str = "127.0.0.1") -> Iterator[Proxy]:
    proxy = Proxy(target, source)
    try:
        yield proxy
    finally:
        proxy.close()
