"""What the user sees: draws state, decides nothing."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from . import export, layers, preferences, presets, resample, rig_mapping, sequencer, sidebar

CLASSES = (
    *preferences.CLASSES,
    *sidebar.CLASSES,
    *resample.CLASSES,
    *layers.CLASSES,
    *presets.CLASSES,
    *rig_mapping.CLASSES,
    *export.CLASSES,
    *sequencer.CLASSES,
)
