"""What a handler returns as it is sent: by the template python3-http, and by flask, to which it hands what is no dict."""

from .request import Headers

HTML = "text/html; charset=utf-8"
ERROR_PAGE = """<!doctype html>
<html lang=en>
<title>500 Internal Server Error</title>
<h1>Internal Server Error</h1>
<p>The server encountered an internal error and was unable to complete your request. Either the server is overloaded \
or there is an error in the application.</p>
"""


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
