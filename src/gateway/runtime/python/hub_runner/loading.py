"""Loads handler.py as OpenFaaS's images have it: the module `handler` of the package `function`."""

import importlib
import os
import sys
import types


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
