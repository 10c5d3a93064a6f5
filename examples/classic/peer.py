"""The classic protocol by hand: ``peer.py client|backend HOST:PORT QUEUE [ARG...]``.

Each exchange is a connection of its own; each message is one JSON object without terminator.
"""

import json
import socket
import sys
import time


def say(connection: socket.socket, message: dict[str, object]) -> None:
    data = json.dumps(message, indent="\t").encode()  # pretty-printed, as the classic tool does
    print(f"> {json.dumps(message)}", flush=True)
    connection.sendall(data)


def hear(connection: socket.socket) -> dict[str, object]:
    data = connection.recv(1024)  # one read, as the classic tool does
    print(f"< {data.decode()}", flush=True)
    return dict(json.loads(data))


def client(connection: socket.socket, queue: str, args: list[str]) -> None:
    say(connection, {"Queue": queue, "Args": args, "Limit": 0})
    hear(connection)


def backend(connection: socket.socket, queue: str) -> None:
    say(connection, {"Queue": queue})
    item = hear(connection)
    if item["Error"]:
        return
    started = time.monotonic()
    time.sleep(float(item["Args"][0]))  # type: ignore[index]
    run_s = time.monotonic() - started
    say(connection, {"Pod": "by-hand", "Node": "here", "Runtime": run_s, "Retcode": 0})


role, address, queue, *args = sys.argv[1:]
host, port = address.rsplit(":", 1)
with socket.create_connection((host, int(port))) as connection:
    if role == "client":
        client(connection, queue, args)
    else:
        backend(connection, queue)
