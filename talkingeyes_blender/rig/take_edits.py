"""What an animator does with a take that is there: name it, rate it, weaken it, and make it ordinary animation."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

from ..errors import TalkingEyesError
from .head_rig import HeadRig
from .takes import TAKE_PROPERTY, Take, _hand_down, clips, owners, read_record, refuse_tweak_mode, takes

STARS = 5
LONGEST_LABEL = 60


def change_record(rig: HeadRig, take: Take, **changes: Any) -> None:
    """Change what a take's actions remember of it."""
    for owner in owners(rig):
        for clip in clips(owner):
            if clip.record["id"] == take.id:
                action = clip.strip.action
                action[TAKE_PROPERTY] = json.dumps((read_record(action) or {}) | changes)


def rename(rig: HeadRig, take: Take, label: str) -> None:
    """Give a take a name of the user's; '' gives it back the one by its seed."""
    label = " ".join(label.split())
    if len(label) > LONGEST_LABEL:
        raise TalkingEyesError(f"The name has {len(label)} letters.", f"Choose one of up to {LONGEST_LABEL}.")
    change_record(rig, take, label=label)


def rate(rig: HeadRig, take: Take, stars: int) -> None:
    """Rate a take from 0 to 5."""
    change_record(rig, take, rating=max(0, min(STARS, int(stars))))


def set_influence(rig: HeadRig, take: Take, influence: float) -> None:
    """How much of a take is seen over what lies below it in the NLA: 0 to 1."""
    influence = max(0.0, min(1.0, float(influence)))
    for owner in owners(rig):
        for clip in clips(owner):
            if clip.record["id"] == take.id:
                # Blender only heeds a strip's influence where it may be animated.
                clip.strip.use_animated_influence = True
                clip.strip.influence = influence
                for curve in clip.strip.fcurves:
                    if curve.data_path == "influence":
                        for key in curve.keyframe_points:
                            key.co.y = influence
                        curve.update()
        owner.update_tag()


def influence_of(rig: HeadRig, take: Take) -> float:
    """The influence of a take's strips; 1 where nobody has changed it."""
    for owner in owners(rig):
        for clip in clips(owner):
            if clip.record["id"] == take.id and clip.strip.use_animated_influence:
                return float(clip.strip.influence)
    return 1.0


def bake(rig: HeadRig, take: Take) -> list[str]:
    """Make a take ordinary animation, which this add-on does not touch any more; return its actions' names.

    Its strips stay where they are, on tracks that bear the take's name. What the rig was like before any take of ours
    goes on to be remembered by the oldest that is left.
    """
    refuse_tweak_mode(rig)
    name = take.label or take.name
    others = [other for other in takes(rig) if other.id != take.id]
    baked: list[str] = []
    removed: dict[str, Any] = {}
    for owner in owners(rig):
        mine = [clip for clip in clips(owner) if clip.record["id"] == take.id]
        for clip in mine:
            removed = clip.record
            action, track, strip = clip.strip.action, clip.track, clip.strip
            shared = len(track.strips) > 1
            for key in [key for key in action.keys() if key.startswith("talkingeyes_")]:  # noqa: SIM118  an ID's keys
                del action[key]
            action.name = strip.name = f"{name} baked"
            if action.name not in baked:
                baked.append(action.name)
            if not shared:
                track.name = action.name
        owner.update_tag()
    if removed and others and removed["number"] < others[0].number:
        _hand_down(rig, removed, others[0])
    return baked
