"""Where a server listens, and what to type into a browser to reach it."""

import socket

from depixel.base.errors import DepixelError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any that is free.

    Raises:
        DepixelError: `host` is no name of this machine, or the port is taken; says what to choose instead.
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
    """What to type into a browser to reach a socket that `listen(host, ...)` made."""
    name = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{name}:{listening.getsockname()[1]}/"
