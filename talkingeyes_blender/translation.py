"""Sentences that are put together, in the language of Blender's interface.

Labels, names and tooltips are plain literals, which Blender translates when it draws them. All else goes through
``rpt_``: a literal template, and what is filled in by name. Blender's own tool that gathers messages for translators
knows both by these names.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from bpy.app import translations


def rpt_(msgid: str, /, **values: object) -> str:
    """Return the template in the language of Blender's reports, with ``values`` filled in as ``str.format`` does."""
    text = translations.pgettext_rpt(msgid)
    if not values:
        return text
    try:
        return text.format(**values)
    except (KeyError, IndexError, ValueError):  # a translator's slip must not cost the user the sentence
        return msgid.format(**values)


def n_(msgid: str) -> str:
    """Mark a literal for translators that is translated elsewhere: when Blender draws it."""
    return msgid
