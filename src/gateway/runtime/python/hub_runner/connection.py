"""One connection of the gateway over the private socket: reads requests, calls the handler, writes answers."""

import os
import sys
import traceback
from urllib.parse import unquote

from .answer import ERROR_PAGE, Answer, answer_of_flask, answer_of_template
from .request import Context, Event, Headers, Query

BODY_BYTES_MAX = 1 << 30
HEAD_BYTES_MAX = 256 * 1024
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class Refused(Exception):
    def __init__(self, status):
        super().__init__(status)
        self.status = status


def takes_one(handle):
    """`handle(req)`: the template python3-flask, and the classic one where nobody said so."""
    code = getattr(handle, "__code__", None)
    return code is not None and code.co_argcount == 1 and not code.co_flags & 0x04


class Connection:
    """One connection of the gateway: a request after the other."""

    def __init__(self, sock, module):
        self._sock = sock
        self._file = sock.makefile("rb", 65536)
        self._module = module

    def run(self):
        try:
            while self._one():
                pass
        except OSError:
            # The gateway has left; so has the caller.
            pass
        finally:
            self._file.close()
            self._sock.close()

    def _one(self):
        head = self._head()
        if head is None:
            return False
        method, target, pairs = head
        try:
            answer = self._answer(method, target, pairs)
        except Refused as refused:
            answer = Answer(b"", refused.status)
        except OSError:
            raise
        return self._send(method, answer)

    def _head(self):
        line = self._file.readline(HEAD_BYTES_MAX)
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        pairs = []
        while True:
            line = self._file.readline(HEAD_BYTES_MAX)
            if line in (b"\r\n", b"\n", b""):
                return method, target, pairs
            name, _, value = line.decode("latin-1").partition(":")
            pairs.append((name.strip(), value.strip()))

    def _answer(self, method, target, pairs):
        headers = Headers(pairs)
        body = self._body(headers)
        if method not in METHODS:
            raise Refused(405)
        if method == "OPTIONS":
            return Answer(b"", headers=[("Allow", ", ".join(METHODS))])
        path, _, query = target.partition("?")
        try:
            handle = self._module.handle
            if takes_one(handle):
                raw = os.getenv("RAW_BODY", "false").lower() in ("true", "1", "yes", "on")
                given = body if raw else body.decode("utf-8", "replace")
                return answer_of_flask(handle(given))
            event = Event(method, unquote(path), Query(query), headers, body)
            return answer_of_template(handle(event, Context()))
        except Exception:
            print("Exception on %s [%s]" % (path, method), file=sys.stderr)
            traceback.print_exc()
            return Answer(ERROR_PAGE.encode(), 500)

    def _body(self, headers):
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return b"".join(self._chunks())
        length = int(headers.get("content-length", "0") or 0)
        if length > BODY_BYTES_MAX:
            raise OSError("the body is too long")
        body = self._file.read(length)
        if len(body) < length:
            raise OSError("the caller left")
        return body

    def _chunks(self):
        total = 0
        while True:
            size = int(self._file.readline(HEAD_BYTES_MAX).split(b";")[0] or b"-1", 16)
            total += size
            if size < 0 or total > BODY_BYTES_MAX:
                raise OSError("no complete body")
            if size == 0:
                while self._file.readline(HEAD_BYTES_MAX) not in (b"\r\n", b"\n", b""):
                    pass
                return
            chunk = self._file.read(size)
            if len(chunk) < size:
                raise OSError("the caller left")
            yield chunk
            self._file.readline(HEAD_BYTES_MAX)

    def _send(self, method, answer):
        """False when nothing can follow on this connection."""
        bodiless = method == "HEAD" or answer.status in (204, 304) or answer.status < 200
        is_known = isinstance(answer.body, (bytes, bytearray))
        head = ["HTTP/1.1 %d %s" % (answer.status, reason_of(answer.status))]
        for name, value in answer.headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                head.append("%s: %s" % (name, value))
        if is_known and answer.status not in (204, 304):
            head.append("Content-Length: %d" % len(answer.body))
        elif not bodiless:
            head.append("Transfer-Encoding: chunked")
        prefix = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1", "replace")
        if is_known or bodiless:
            self._sock.sendall(prefix if bodiless else prefix + answer.body)
            return True
        self._sock.sendall(prefix)
        return self._stream(answer.body)

    def _stream(self, chunks):
        try:
            for chunk in chunks:
                data = chunk.encode("utf-8") if isinstance(chunk, str) else bytes(chunk)
                if data:
                    self._sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        except OSError:
            raise
        except Exception:
            # Half an answer is out: the caller must not take it for a complete one.
            traceback.print_exc()
            return False
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        self._sock.sendall(b"0\r\n\r\n")
        return True


def reason_of(status):
    from http.client import responses

    return responses.get(status, "Unknown")
