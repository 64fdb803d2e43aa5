"""What a click does: one file a user action.

What a click needs of ``rig``, ``head`` and ``worker`` is imported by the click, so enabling the add-on stays quick.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from . import (
    add_standin,
    build_flame,
    cancel_job,
    characters,
    choose_take,
    clear_takes,
    fit_playback,
    fit_rig,
    generate,
    import_audio,
    make_lids,
    mapping,
    open_preferences,
    override_keys,
    remove_take,
    resample_gaze,
    rig_mesh,
    set_up,
)

CLASSES = (
    *import_audio.CLASSES,
    *add_standin.CLASSES,
    *build_flame.CLASSES,
    *rig_mesh.CLASSES,
    *fit_rig.CLASSES,
    *make_lids.CLASSES,
    *mapping.CLASSES,
    *generate.CLASSES,
    *resample_gaze.CLASSES,
    *choose_take.CLASSES,
    *characters.CLASSES,
    *remove_take.CLASSES,
    *clear_takes.CLASSES,
    *fit_playback.CLASSES,
    *cancel_job.CLASSES,
    *open_preferences.CLASSES,
    *override_keys.CLASSES,
    *set_up.CLASSES,
)
