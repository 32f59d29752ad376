"""Where a server listens, and what to type into a browser to reach it."""

import socket

from depixel.base.errors import DepixelError


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0: any free port.

    Raises:
        DepixelError: `host` is not a name or address of this machine, or the port is in use; the message says what to
            choose instead.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        if isinstance(error, socket.gaierror):
            raise DepixelError(f"--host {host}: no name or address of this machine") from error
        raise DepixelError(
            f"{host}, port {port}: {error.strerror or error}. Another program, or another `depixel serve`, may use it: "
            f"choose another with --port, such as {port + 1 if 0 < port < 65535 else 8001}, or any free one: --port 0"
        ) from error


def address(listening: socket.socket, host: str) -> str:
    """The URL of a socket that `listen(host, ...)` opened."""
    name = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{name}:{listening.getsockname()[1]}/"
