"""Sentences in a panel, which Blender does not wrap."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
from collections.abc import Callable

import blf
import bpy

from ..operators import subject


def looked_up_once(draw: Callable) -> Callable:
    """For a panel's ``draw``: what its fields ask about the head is looked up once."""

    @functools.wraps(draw)
    def wrapper(self, context):
        with subject.drawing():
            return draw(self, context)

    return wrapper


_BESIDE = 94
"""Pixels of a sidebar, at a scale of 1, that its margins, a box, an icon and the tabs take."""


def lines(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str) -> None:
    """Draw a sentence in as many lines as the region's width asks for, all of them beside the icon."""
    scale = ui_scale(context)
    width = context.region.width if context.region is not None else 400
    size = context.preferences.ui_styles[0].widget.points * scale
    column = layout.column(align=True)
    column.scale_y = 0.8
    after = "NONE" if icon == "NONE" else "BLANK1"
    for i, line in enumerate(wrapped(text, max(80, int(width - _BESIDE * scale)), round(size, 1))):
        column.label(text=line, icon=after if i else icon, translate=False)


def ui_scale(context: bpy.types.Context) -> float:
    """Pixels for one at a scale of 1; Blender says 0 without a window."""
    return context.preferences.system.ui_scale or 1.0


@functools.lru_cache(maxsize=256)
def wrapped(text: str, width: int, size: float) -> tuple[str, ...]:
    """The text in lines of at most ``width`` pixels; only a word that is longer than that stands out."""
    blf.size(0, size)
    done: list[str] = []
    for word in text.split():
        longer = f"{done[-1]} {word}" if done else word
        if done and blf.dimensions(0, longer)[0] <= width:
            done[-1] = longer
        else:
            done.append(word)
    return tuple(done)
