"""Lean classic peers: ``worker ADDRESS`` or ``client ADDRESS IN_FLIGHT WARM_UP SECONDS``.

Threads with blocking sockets, one connection an exchange: the classic peers are Go programs, which
cost little, and so must these.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

from .window import ask_by_threads, say, window

WORK = b'{"Queue": "sleep", "Args": ["0"]}'
REPLY = b'{"Node": "n", "Pod": "p", "Runtime": 0.0}'
MESSAGE = 1024
WORKER_THREADS = 2
"""Of each worker process; more are slower."""
EMPTY_S = 0.001
ANSWER_WITHIN_S = 30.0


def connect(address: str) -> socket.socket:
    """Open a connection."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=ANSWER_WITHIN_S)


def ask(address: str) -> None:
    """Send a request, and wait for its reply.

    Raises:
        RuntimeError: It failed.
    """
    with connect(address) as connection:
        connection.sendall(WORK)
        reply = connection.recv(MESSAGE)
    if b'"Error":""' not in reply:
        raise RuntimeError(f"a request failed: {reply!r}")


def work(address: str) -> None:
    """Take items and answer them, until ended."""
    while True:
        with connect(address) as connection:
            connection.sendall(WORK)
            if b'"Empty":true' in connection.recv(MESSAGE):
                time.sleep(EMPTY_S)
            else:
                connection.sendall(REPLY)
                connection.recv(1)  # the frontend closes when it has read the reply


if __name__ == "__main__":
    role, address, *arguments = sys.argv[1:]
    if role == "worker":
        threads = [threading.Thread(target=work, args=(address,)) for _ in range(WORKER_THREADS)]
        for thread in threads:
            thread.start()
        say({"mark": "ready"})
    else:
        ask_by_threads(window(arguments), lambda: ask(address))
