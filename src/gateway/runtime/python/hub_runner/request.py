"""What a handler is given: `event` and `context` of OpenFaaS's template python3-http, as flask has them."""

import os
from urllib.parse import parse_qsl


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
