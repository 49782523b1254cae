"""Runs inside a function's own process: loads handler.py and serves it by the rules of OpenFaaS's Python templates.

Without an argument: python3-http, `handle(event, context)`, over a private socket, a thread per connection. With `classic`:
the classic template, `handle(req)`, stdin to stdout, once. Needs the standard library only. Started by the gateway's
python-runtime.ts; ends when the gateway does.
"""

import importlib
import os
import socket
import sys
import threading
import traceback
import types
from urllib.parse import parse_qsl, unquote

BODY_BYTES_MAX = 1 << 30
HEAD_BYTES_MAX = 256 * 1024
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
HTML = "text/html; charset=utf-8"
ERROR_PAGE = """<!doctype html>
<html lang=en>
<title>500 Internal Server Error</title>
<h1>Internal Server Error</h1>
<p>The server encountered an internal error and was unable to complete your request. Either the server is overloaded \
or there is an error in the application.</p>
"""


class Headers:
    """The request's headers: names in any case, as werkzeug has them."""

    def __init__(self, pairs):
        joined = {}
        for name, value in pairs:
            key = name.lower()
            # As WSGI hands them over: repeated ones in one line.
            joined[key] = joined[key] + "," + value if key in joined else value
        self._values = joined

    @staticmethod
    def _title(key):
        return key.replace("_", "-").title()

    def get(self, key, default=None, type=None):
        value = self._values.get(str(key).lower())
        return _converted(value, default, type)

    def getlist(self, key, type=None):
        value = self.get(key, type=type)
        return [] if value is None else [value]

    get_all = getlist

    def __getitem__(self, key):
        return self._values[str(key).lower()]

    def __contains__(self, key):
        return str(key).lower() in self._values

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return iter(self.items())

    def items(self, lower=False):
        return [(key if lower else self._title(key), value) for key, value in self._values.items()]

    def keys(self, lower=False):
        return [name for name, _ in self.items(lower)]

    def values(self):
        return list(self._values.values())

    def to_wsgi_list(self):
        return self.items()

    def __str__(self):
        return "".join("%s: %s\r\n" % pair for pair in self.items()) + "\r\n"

    def __repr__(self):
        return "Headers(%r)" % (self.items(),)


class Query(dict):
    """The query's values by name: a name gives its first value, `getlist` all of them; cannot be changed."""

    def __init__(self, text):
        lists = {}
        for name, value in parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=None):
            lists.setdefault(name, []).append(value)
        super().__init__(lists)

    def __getitem__(self, key):
        return super().__getitem__(key)[0]

    def get(self, key, default=None, type=None):
        return _converted(self[key] if key in self else None, default, type)

    def getlist(self, key, type=None):
        values = super().__getitem__(key) if key in self else []
        if type is None:
            return list(values)
        return [value for value in (_converted(each, None, type) for each in values) if value is not None]

    def items(self, multi=False):
        for key, values in super().items():
            for value in values if multi else values[:1]:
                yield key, value

    def lists(self):
        for key, values in super().items():
            yield key, list(values)

    def values(self):
        return (value for _, value in self.items())

    def listvalues(self):
        return (values for _, values in self.lists())

    def to_dict(self, flat=True):
        return dict(self.items()) if flat else dict(self.lists())

    def copy(self):
        return self

    def _immutable(self, *args, **kwargs):
        raise TypeError("the query cannot be changed")

    __setitem__ = __delitem__ = _immutable
    update = setdefault = pop = popitem = clear = _immutable

    def __repr__(self):
        return "ImmutableMultiDict(%r)" % (list(self.items(multi=True)),)


def _converted(value, default, type):
    if value is None:
        return default
    if type is None:
        return value
    try:
        return type(value)
    except (ValueError, TypeError):
        return default


class Event:
    def __init__(self, method, path, query, headers, body):
        self.body = body
        self.headers = headers
        self.method = method
        self.query = query
        self.path = path


class Context:
    def __init__(self):
        self.hostname = os.getenv("HOSTNAME", "localhost")


class Answer:
    """What is sent: a body of bytes, or an iterator of them."""

    def __init__(self, body, status=200, headers=(), content_type=HTML):
        self.body = body
        self.status = status
        self.headers = [(str(name), _header_value(value)) for name, value in headers]
        if not self.has("content-type"):
            self.headers.insert(0, ("Content-Type", content_type))

    def has(self, name):
        return any(each.lower() == name for each, _ in self.headers)

    def replace(self, headers):
        """As flask does to an answer that is already there: what comes later takes the place of what has its name."""
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            self.headers = [each for each in self.headers if each[0].lower() != str(name).lower()]
            for each in value if isinstance(value, (list, tuple, set)) else (value,):
                self.headers.append((str(name), _header_value(each)))


def _header_value(value):
    text = str(value)
    if "\r" in text or "\n" in text:
        raise ValueError("Header values must not contain newline characters.")
    return text


def pairs_of(headers):
    if hasattr(headers, "items"):
        for name, value in headers.items():
            for each in value if isinstance(value, (list, tuple, set)) else (value,):
                yield name, each
    else:
        for name, value in headers:
            yield name, value


def answer_of_template(value):
    """By the template: a dict says what to answer; anything else is flask's to read."""
    if value is None:
        return Answer(b"")
    if type(value) is not dict:
        return answer_of_flask(value)
    headers = value.get("headers", ())
    body = value.get("body", "")
    if type(body) is not dict:
        body = str(body)
    return answer_of_flask((body, value.get("statusCode", 200), headers))


def answer_of_flask(value):
    """By flask: text, bytes, JSON, an iterator, or a tuple of one of them with a status, headers, or both."""
    status, headers = None, None
    if isinstance(value, tuple):
        if len(value) == 3:
            value, status, headers = value
        elif len(value) == 2:
            if isinstance(value[1], (dict, tuple, list, Headers)):
                value, headers = value
            else:
                value, status = value
        else:
            raise TypeError("The view function did not return a valid response tuple.")
    if isinstance(value, str):
        value = value.encode("utf-8")
    if isinstance(value, (bytes, bytearray)) or hasattr(value, "__next__"):
        return Answer(value, status_of(status), pairs_of(headers or ()))
    answer = ready_made(value)
    if status is not None:
        answer.status = status_of(status)
    if headers:
        answer.replace(headers)
    return answer


def ready_made(value):
    if isinstance(value, (dict, list)):
        return Answer(json_of(value), content_type="application/json")
    # flask's own, from a function that brings flask along.
    if hasattr(value, "status_code") and hasattr(value, "headers") and hasattr(value, "iter_encoded"):
        return Answer(iter(value.iter_encoded()), value.status_code, pairs_of(value.headers))
    raise TypeError("The view function did not return a valid response. The return type must be a string, dict, list, tuple with headers or status, or a Response instance, but it was a %s." % type(value).__name__)


def json_of(value):
    import json

    return (json.dumps(value, default=_json_default, sort_keys=True, separators=(",", ":")) + "\n").encode()


def _json_default(value):
    import dataclasses
    import datetime
    import decimal
    import email.utils
    import uuid

    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return email.utils.format_datetime(aware.astimezone(datetime.timezone.utc), usegmt=True)
    if isinstance(value, datetime.date):
        return email.utils.formatdate(datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.timezone.utc).timestamp(), usegmt=True)
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "__html__"):
        return str(value.__html__())
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def status_of(status):
    """A number, or text that begins with one: `404 NOT FOUND`."""
    if status is None:
        return 200
    code = int(str(status).split(None, 1)[0]) if isinstance(status, str) else int(status)
    if not 100 <= code <= 999:
        raise ValueError("%r is no HTTP status" % (status,))
    return code


class Refused(Exception):
    def __init__(self, status):
        super().__init__(status)
        self.status = status


def load_handler(folder):
    """The folder as the package `function`, as in the templates' images. Returns its module `handler`."""
    package = types.ModuleType("function")
    package.__path__ = [folder]
    package.__package__ = "function"
    sys.modules["function"] = package
    init = os.path.join(folder, "__init__.py")
    if os.path.exists(init):
        package.__file__ = init
        with open(init, "rb") as file:
            exec(compile(file.read(), init, "exec"), package.__dict__)
    module = importlib.import_module("function.handler")
    if not callable(getattr(module, "handle", None)):
        raise AttributeError("%s has no function `handle`" % module.__file__)
    return module


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
    sys.path = [each for each in sys.path if each != os.path.dirname(os.path.abspath(__file__))]
    handler_folder = os.environ.pop("HUB_HANDLER")
    if sys.argv[1:] == ["classic"]:
        run_classic(handler_folder)
    else:
        serve(handler_folder, os.environ.pop("HUB_SOCKET"))
