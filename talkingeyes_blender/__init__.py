"""TalkingEyes: speech in, a talking and looking head out.

Blender loads this package as an extension; the worker and the training import it without Blender, which is why bpy is
imported inside the two functions only.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


def register() -> None:
    from . import registration

    registration.register()


def unregister() -> None:
    from . import registration

    registration.unregister()
