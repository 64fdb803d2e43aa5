"""Takes and their strips: which takes lie off their speech, by how much and why, and moving them after it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import bpy
import numpy as np

from ..errors import TalkingEyesError
from . import compat, glimpse
from .curves import frames_per_second
from .head_rig import HeadRig
from .spoken import Spoken, fingerprint, frame_rate_of, placed, same_file, spoken_by
from .takes import TAKE_PROPERTY, TRACK, Clip, Take, clips, owners, read_record, refuse_tweak_mode, takes

_NEAR = 0.02
"""Frames, and hundredths of a second, that count as nothing."""
_AGAIN = "Generate again."


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a take lies to the strips that it speaks."""

    start: float
    """The scene frame at which it should begin."""
    shift: float
    """Frames by which it has to move for that."""
    stretch: float
    """What its frames have to be multiplied by: the scene's frame rate now over the one that it was written for."""
    changes: tuple[str, ...]
    """Sentences: what a move does not mend."""

    @property
    def moved(self) -> bool:
        return abs(self.shift) > _NEAR or abs(self.stretch - 1) > 1e-6


def standing(take: Take, scene: bpy.types.Scene, look: bool = True) -> Standing | None:
    """Compare a take with its strips as they are now; None for a take that does not say which it speaks.

    Without a ``look`` at their files these count as what they were when somebody looked last.

    TalkingEyesError if a strip is gone, or if the strips have moved against each other.
    """
    spoken = spoken_by(take)
    if not spoken:
        return None
    per_second = frames_per_second(scene)
    starts, changes = [], []
    for each in spoken:
        strip, heard = placed(scene, each)
        # The take goes with the words, not with the strip's edge: a trim moves the edge alone.
        hidden = 0.0 if each.retiming or heard.retiming else heard.offset - each.start
        starts.append(heard.start - hidden - each.at)
        changes += _changes(each, heard, (fingerprint if look else glimpse.fingerprint)(strip.sound))
    if max(starts) - min(starts) > _NEAR / per_second * 2:
        raise TalkingEyesError(
            f"The strips of the take '{take.name}' have moved against each other.", "Generate the dialogue again."
        )
    start = starts[0] * per_second
    stretch = per_second / frame_rate_of(take)
    return Standing(start, start - take.start, stretch, tuple(changes))


def _changes(then: Spoken, now, file: str) -> list[str]:
    if not same_file(then.file, file):
        return [f"The strip '{then.strip}' plays another sound than when the take was made. {_AGAIN}"]
    if now.retiming != then.retiming:
        return [f"The speed of the strip '{then.strip}' was changed. {_AGAIN}"]
    found = []
    earlier = then.start - now.offset
    later = now.offset + now.duration - then.start - then.duration
    near = 2 * _NEAR
    if earlier > near or later > near:
        more = max(earlier, 0.0) + max(later, 0.0)
        found.append(f"The strip '{then.strip}' sounds {more:.1f} s longer than the take. {_AGAIN}")
    elif earlier < -near or later < -near:
        less = max(-earlier, 0.0) + max(-later, 0.0)
        found.append(f"The strip '{then.strip}' was trimmed by {less:.1f} s; the take goes on there. {_AGAIN}")
    return found


def stale(take: Take, scene: bpy.types.Scene, look: bool = True) -> str | None:
    """One sentence if a take does not fit the strips that it speaks any more, and what to do; else None.

    Panels ask without a ``look`` at files: they ask at every redraw.
    """
    try:
        found = standing(take, scene, look)
    except TalkingEyesError as error:
        return str(error)
    if found is None:
        return None
    if abs(found.stretch - 1) > 1e-6:
        rates = f"{frame_rate_of(take):.6g} frames a second", f"{frames_per_second(scene):.6g}"
        return f"The take was made for {rates[0]}, and the scene has {rates[1]} now. Follow Strip fits it."
    if found.moved:
        side = "later" if found.shift > 0 else "earlier"
        return f"The speech lies {abs(found.shift):.4g} frames {side} now. Follow Strip moves the take there."
    return found.changes[0] if found.changes else None


def follow(rig: HeadRig, chosen: Sequence[Take], scene: bpy.types.Scene) -> list[str]:
    """Move takes to where their speech lies now, and fit them to the scene's frame rate; return what else is to say.

    Everything is checked before the first write. Keys that the user has edited go with the rest. An NLA strip whose new
    place is taken by another take gets a track of its own.
    """
    refuse_tweak_mode(rig)
    moves = []
    said: list[str] = []
    for take in chosen:
        found = standing(take, scene)
        if found is None:
            raise TalkingEyesError(f"The take '{take.name}' does not say which strip it speaks.", "Move it by hand.")
        said += found.changes
        if found.moved:
            moves.append((take, found))
    # Those that go ahead first, so that nobody walks into one that has yet to go.
    for take, found in sorted(moves, key=lambda move: move[0].start * (-1 if move[1].shift > 0 else 1)):
        if abs(found.stretch - 1) > 1e-6:
            _stretch_action(rig, take, found.stretch, frames_per_second(scene))
        for owner in owners(rig):
            for clip in [clip for clip in clips(owner) if clip.record["id"] == take.id]:
                _move(clip, take.start, found)
            owner.update_tag()
    return list(dict.fromkeys(said))


def stale_takes(rig: HeadRig, scene: bpy.types.Scene, look: bool = True) -> list[Take]:
    """Those takes of a rig that Follow Strip would move."""
    found = []
    for take in takes(rig):
        try:
            where = standing(take, scene, look)
        except TalkingEyesError:
            continue
        if where is not None and where.moved:
            found.append(take)
    return found


def _move(clip: Clip, was: float, to: Standing) -> None:
    """Put a strip where ``to`` says; its action has been stretched already."""
    strip, track = clip.strip, clip.track
    start, end = (to.start + (frame - was) * to.stretch for frame in (strip.frame_start, strip.frame_end))
    first = clip.record["start"]
    bounds = [first + (frame - first) * to.stretch for frame in (strip.action_frame_start, strip.action_frame_end)]
    scale = strip.scale
    if any(other != strip and other.frame_start < end and start < other.frame_end for other in track.strips):
        track = clip.owner.animation_data.nla_tracks.new(prev=track)
        track.name, track.mute = f"{TRACK} {strip.action.name}", clip.track.mute
        strip = _copied(track, strip)
        clip.track.strips.remove(clip.strip)
    strip.use_sync_length = False
    # Each range is kept in order while it changes, for Blender puts it in order otherwise.
    for names, (low, high) in (
        (("action_frame_start", "action_frame_end"), bounds),
        (("frame_start_raw", "frame_end_raw"), (start, end)),
    ):
        ahead = low > getattr(strip, names[0])
        for name, value in zip(names[:: -1 if ahead else 1], (high, low) if ahead else (low, high), strict=True):
            setattr(strip, name, value)
    if abs(strip.scale - scale) > 1e-6:
        strip.scale = scale
        strip.frame_start_raw, strip.frame_end_raw = start, end


_KEPT = (
    *("name", "mute", "blend_type", "use_auto_blend", "blend_in", "blend_out", "extrapolation", "influence"),
    *("use_reverse", "repeat", "scale"),
)


def _copied(track: bpy.types.NlaTrack, strip: bpy.types.NlaStrip) -> bpy.types.NlaStrip:
    """A strip on another track that is as this one."""
    copy = track.strips.new(strip.action.name, int(strip.frame_start), strip.action)
    compat.set_strip_action(copy, strip.action, compat.slot_of(strip))
    copy.use_sync_length = False
    copy.action_frame_start, copy.action_frame_end = strip.action_frame_start, strip.action_frame_end
    for name in _KEPT:
        setattr(copy, name, getattr(strip, name))
    copy.frame_start_raw, copy.frame_end_raw = strip.frame_start, strip.frame_end
    return copy


def _stretch_action(rig: HeadRig, take: Take, stretch: float, rate: float) -> None:
    """Move the keys of a take apart or together about its first frame, and let it remember for which frame rate.

    An action that others use too is left to them: the take gets a copy.
    """
    mine = [clip for owner in owners(rig) for clip in clips(owner) if clip.record["id"] == take.id]
    for action in dict.fromkeys(clip.strip.action for clip in mine):
        using = [clip for clip in mine if clip.strip.action == action]
        own = action
        if action.users - action.use_fake_user > len(using):
            own = action.copy()
            for clip in using:
                slot = compat.slot_of(clip.strip)
                compat.set_strip_action(clip.strip, own, own.slots[slot.identifier] if slot is not None else None)
        told = read_record(own)
        for clip in using:
            for curve in compat.Curves(own, compat.slot_of(clip.strip)):
                _stretch_curve(curve, told["start"], stretch)
        told["step"] *= stretch
        told["settings"] = {**told["settings"], "frame_rate": rate}
        own[TAKE_PROPERTY] = json.dumps(told)


def _stretch_curve(curve: bpy.types.FCurve, start: float, stretch: float) -> None:
    points = curve.keyframe_points
    for name in ("co", "handle_left", "handle_right"):
        values = np.empty(2 * len(points), np.float32)
        points.foreach_get(name, values)
        values[::2] = start + (values[::2] - start) * stretch
        points.foreach_set(name, values)
    curve.update()
