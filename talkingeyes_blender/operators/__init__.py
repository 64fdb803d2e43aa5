"""What a click does: one file a user action.

What a click needs of ``rig``, ``head`` and ``worker`` is imported by the click, so enabling the add-on stays quick.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from . import (
    add_standin,
    adjust_take,
    bake_take,
    build_flame,
    cancel_job,
    choose_take,
    clear_takes,
    compare_takes,
    dialogue,
    export,
    fit_playback,
    fit_rig,
    follow_strip,
    generate,
    generate_takes,
    import_audio,
    look_at,
    make_lids,
    open_preferences,
    presets,
    recovery,
    reduce_keys,
    remove_take,
    resample,
    resample_gaze,
    rig_mesh,
    set_up,
    take_list,
)

CLASSES = (
    *import_audio.CLASSES,
    *add_standin.CLASSES,
    *build_flame.CLASSES,
    *rig_mesh.CLASSES,
    *fit_rig.CLASSES,
    *make_lids.CLASSES,
    *generate.CLASSES,
    *dialogue.CLASSES,
    *follow_strip.CLASSES,
    *generate_takes.CLASSES,
    *resample_gaze.CLASSES,
    *resample.CLASSES,
    *choose_take.CLASSES,
    *remove_take.CLASSES,
    *take_list.CLASSES,
    *bake_take.CLASSES,
    *compare_takes.CLASSES,
    *clear_takes.CLASSES,
    *adjust_take.CLASSES,
    *reduce_keys.CLASSES,
    *look_at.CLASSES,
    *presets.CLASSES,
    *fit_playback.CLASSES,
    *cancel_job.CLASSES,
    *open_preferences.CLASSES,
    *recovery.CLASSES,
    *set_up.CLASSES,
    *export.CLASSES,
)
