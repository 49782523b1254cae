"""Runs inside a function's own process: loads handler.py and serves it by the rules of OpenFaaS's Python templates.

Without an argument: python3-http, `handle(event, context)`, over a private socket, a thread per connection. With `classic`:
the classic template, `handle(req)`, stdin to stdout, once. Needs the standard library only. Started by the gateway's
python-runtime.ts; ends when the gateway does.
"""

import os
import socket
import sys
import threading

from hub_runner.connection import Connection
from hub_runner.loading import load_handler


def answer_pings(control):
    """Ends the process with the gateway, however that went."""
    while True:
        try:
            if not control.recv(64):
                os._exit(0)
            control.sendall(b"pong\n")
        except OSError:
            os._exit(0)


def serve(folder, path):
    control = socket.socket(fileno=3)
    threading.Thread(target=answer_pings, args=(control,), daemon=True).start()
    module = load_handler(folder)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen(256)
    control.sendall(b"ready\n")
    while True:
        sock, _ = server.accept()
        threading.Thread(target=Connection(sock, module).run, daemon=True).start()


def run_classic(folder):
    module = load_handler(folder)
    result = module.handle(sys.stdin.read())
    if result is not None:
        print(result)


if __name__ == "__main__":
    # The folder of this script is no place for a function to import from.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path = [each for each in sys.path if os.path.abspath(each) != here]
    handler_folder = os.environ.pop("HUB_HANDLER")
    if sys.argv[1:] == ["classic"]:
        run_classic(handler_folder)
    else:
        serve(handler_folder, os.environ.pop("HUB_SOCKET"))
