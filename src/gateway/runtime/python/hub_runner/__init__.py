"""The parts of the runner of Python handlers; __main__.py beside this folder runs it."""
