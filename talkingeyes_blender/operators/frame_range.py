"""Which frames of a take the user means: all, the preview range, those between two markers, or those named."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import bpy

from ..errors import TalkingEyesError
from ..translation import rpt_

if TYPE_CHECKING:
    from ..rig.takes import Take

SHORTEST = 5
"""Frames of a motion that are resampled at least, as ``inference.resampling`` has it."""

_NEAR = 1e-3
"""Scene frames by which a frame of the motion may lie outside of the range that it belongs to."""


def scene_range(scene: bpy.types.Scene) -> tuple[float, float] | None:
    """First scene frame and the one that ends the range, not within it any more; None for all frames.

    Raises TalkingEyesError where there is no such range.
    """
    settings = scene.talkingeyes
    if settings.resample_range == "PREVIEW":
        if not scene.use_preview_range:
            raise TalkingEyesError(
                rpt_("The scene has no preview range."), rpt_("Set one in the timeline (P), or choose markers.")
            )
        return scene.frame_preview_start, scene.frame_preview_end + 1
    if settings.resample_range == "MARKERS":
        now, frames = scene.frame_current, sorted(marker.frame for marker in scene.timeline_markers)
        before = [frame for frame in frames if frame <= now]
        after = [frame for frame in frames if frame > now]
        if not before or not after:
            if after:
                fault = rpt_("There is no marker before the current frame {now}.", now=now)
            elif before:
                fault = rpt_("There is no marker after the current frame {now}.", now=now)
            else:
                fault = rpt_("There is no marker around the current frame {now}.", now=now)
            raise TalkingEyesError(
                fault,
                rpt_("Set markers (M in the timeline) where the frames begin and end, and go between them."),
            )
        return before[-1], after[0]
    if settings.resample_range == "FRAMES":
        if settings.resample_first > settings.resample_last:
            raise TalkingEyesError(
                rpt_(
                    "The frames end at {last}, before they begin at {first}.",
                    last=settings.resample_last,
                    first=settings.resample_first,
                ),
                rpt_("Set Last to a later frame."),
            )
        return settings.resample_first, settings.resample_last + 1
    return None


def take_range(scene: bpy.types.Scene, take: Take) -> tuple[int, int] | None:
    """First frame of the take's motion and the one behind the last, None for all of it.

    Raises TalkingEyesError where the chosen range is not there, lies outside of the take or is too short.
    """
    chosen = scene_range(scene)
    if chosen is None:
        return None
    first, last = (math.ceil((frame - take.start - _NEAR) / take.step) for frame in chosen)
    first, last = max(0, first), min(take.frames, last)
    if first >= last:
        raise TalkingEyesError(
            rpt_(
                "The frames {first:g} to {last:g} lie outside of the take, which lasts from {start:g} to {end:g}.",
                first=chosen[0],
                last=chosen[1] - 1,
                start=take.start,
                end=take.end,
            ),
            rpt_("Choose frames within it."),
        )
    if last - first < min(SHORTEST, take.frames):
        raise TalkingEyesError(
            rpt_("The range holds {count} frames of the motion, too few to resample.", count=last - first),
            rpt_("Let it hold at least {count}, {seconds:g} s.", count=SHORTEST, seconds=SHORTEST / 25),
        )
    return None if (first, last) == (0, take.frames) else (first, last)
