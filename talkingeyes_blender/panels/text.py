"""Sentences in a panel, which Blender does not wrap."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import textwrap

import bpy


def lines(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str) -> None:
    """Draw a sentence in as many lines as the region's width asks for."""
    pixels = 7.0 * (context.preferences.system.ui_scale or 1.0)  # 0 without a window
    column = layout.column(align=True)
    column.scale_y = 0.8
    width = context.region.width if context.region is not None else 400
    for i, line in enumerate(textwrap.wrap(text, max(16, int((width - 70) / pixels)))):
        column.label(text=line, icon="NONE" if i else icon)
