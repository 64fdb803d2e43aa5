"""What the user sees: draws state, decides nothing."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from . import preferences, rig_mapping, sidebar

CLASSES = (*preferences.CLASSES, *sidebar.CLASSES, *rig_mapping.CLASSES)
