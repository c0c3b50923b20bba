#!/usr/bin/env python3
"""A chat server: keeps the last lines of every room.

    server.py ADDRESS PORT

A request is a line of text, and so is the answer:

    SAY ROOM TEXT    ->  OK
    READ ROOM        ->  OK TEXT | TEXT | …
    ROOMS            ->  OK ROOM ROOM …
"""
import collections
import socketserver
import sys

rooms = collections.defaultdict(lambda: collections.deque(maxlen=100))


def answer(request):
    words = request.split(" ", 2)
    if words[0] == "SAY" and len(words) == 3:
        rooms[words[1]].append(words[2])
        return "OK"
    if words[0] == "READ" and len(words) == 2:
        return "OK " + " | ".join(rooms[words[1]])
    if words == ["ROOMS"]:
        return "OK " + " ".join(sorted(rooms))
    return "ERROR what?"


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline(4096)
        if line.endswith(b"\n"):
            self.wfile.write(answer(line.decode().rstrip("\n")).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    with Server((sys.argv[1], int(sys.argv[2])), Conversation) as server:
        print("listening", flush=True)
        server.serve_forever()
