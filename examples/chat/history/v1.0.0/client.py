#!/usr/bin/env python3
"""A chat client.

    client.py say ADDRESS PORT ROOM TEXT
    client.py read ADDRESS PORT ROOM
    client.py follow ADDRESS PORT ROOM     prints what is new, until it is stopped
"""
import socket
import sys
import time


def ask(address, port, request):
    with socket.create_connection((address, port), timeout=5) as connection:
        connection.sendall(request.encode() + b"\n")
        line = connection.makefile("rb").readline(65536)
    if not line.endswith(b"\n"):
        raise ConnectionError("the server hung up")
    return line.decode().rstrip("\n")


def main(verb, address, port, room, *words):
    if verb == "follow":
        seen = None
        while True:
            try:
                now = ask(address, int(port), f"READ {room}")
            except OSError as error:
                now = f"no answer: {error}"
            if now != seen:
                print(now, flush=True)
            seen = now
            time.sleep(1)
    request = f"SAY {room} {' '.join(words)}" if verb == "say" else f"READ {room}"
    word, _, text = ask(address, int(port), request).partition(" ")
    if text:
        print(text)
    return 0 if word == "OK" else 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except OSError as error:
        sys.exit(f"client: {error}")
