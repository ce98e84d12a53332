"""A wire to PostgreSQL that breaks at the worst instant: the commit is made, its answer is lost."""

import random
import socket
import threading
from contextlib import suppress

from sqlalchemy import make_url

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"  # CommandComplete, as the server sends it
CHUNK = 1 << 16


class Wire:
    """Forwards sessions to the server; a share of them ends before a COMMIT is answered."""

    def __init__(self, direct: str, *, share: float, seed: int) -> None:
        server = make_url(direct)
        self._server = (server.host or "127.0.0.1", server.port or 5432)
        self._share = share
        self._draw = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lost = 0  # answers so far
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, direct: str) -> str:
        """The database of `direct`, by this wire."""
        return make_url(direct).set(port=self.port).render_as_string(hide_password=False)

    def close(self) -> None:
        """Takes no more sessions; those that stand end with their client or server."""
        with suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One session, until either side ends it or its commit is lost."""
        with client:
            try:
                server = socket.create_connection(self._server)
            except OSError:
                return  # the server is away: the client is told by the end of the connection
            with server:
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                up = threading.Thread(target=_copied, args=(client, server), daemon=True)
                up.start()
                with suppress(OSError):
                    while (said := server.recv(CHUNK)) and not self._breaks(said):
                        client.sendall(said)
                for end in (client, server):
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                up.join()

    def _breaks(self, said: bytes) -> bool:
        if COMMITTED not in said or self._draw.random() >= self._share:
            return False
        self.lost += 1
        return True


def _copied(source: socket.socket, target: socket.socket) -> None:
    try:
        with suppress(OSError):  # reset: whoever is killed with unread bytes ends so
            while said := source.recv(CHUNK):
                target.sendall(said)
    finally:
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
