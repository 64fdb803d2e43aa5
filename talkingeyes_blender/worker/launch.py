"""Started as a script, in any Python, by ``worker.client``: secures the line to Blender, then runs ``worker.server``.

Only the standard library is imported here, and the syntax is old, so that a Python that is too old can say so. The
package is loaded from this file's place whatever its folder is called, without an entry on the module search path:
the folder beside it may hold other people's extensions.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = "talkingeyes_blender"
MINIMUM_PYTHON = (3, 11)


def take_streams():
    """Return (requests, events), and leave to everybody else an empty stdin and a stdout that goes to the log.

    Libraries print; what they print must not reach the protocol.
    """
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # A file is written by the block: what was printed before a crash must be in the log.
    sys.stdout.reconfigure(line_buffering=True)
    return requests, events


def load_package():
    """Import the package that this file belongs to as ``talkingeyes_blender``."""
    import importlib.util

    root = os.path.dirname(HERE)
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(root, "__init__.py"), submodule_search_locations=[root]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


def main():
    requests, events = take_streams()
    if sys.path and os.path.abspath(sys.path[0]) == HERE:  # a script's own folder: our modules are no top-level modules
        del sys.path[0]
    if sys.version_info < MINIMUM_PYTHON:
        import json

        hello = {
            "kind": "hello",
            "version": 1,
            "pid": os.getpid(),
            "python": ".".join(map(str, sys.version_info[:3])),
            "executable": sys.executable,
            "missing": ["Python {}.{} or newer".format(*MINIMUM_PYTHON)],
        }
        events.write(json.dumps(hello).encode("ascii") + b"\n")
        return 3
    load_package()
    from importlib import import_module

    return import_module(PACKAGE + ".worker.server").main(sys.argv[1:], requests, events)


if __name__ == "__main__":
    sys.exit(main())
