"""The preview of a running job: what is made so far plays on the head, and goes away when the job ends, however."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import bpy
import numpy as np
from bpy.app.handlers import persistent

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import jobs

if TYPE_CHECKING:
    from ..motion import Motion
    from ..rig.head_rig import HeadRig
    from ..worker.client import Job

log = logging.getLogger(__name__)

_taken_away = 0
"""How often somebody else's doing has taken previews away."""


@persistent
def take_away(*_arguments: object) -> None:
    """Around an undo or a redo, before a file is saved, and after one is loaded: no preview may be part of it.

    That of a running job comes back with its next tick.
    """
    global _taken_away
    _taken_away += 1
    if not len(bpy.data.actions):
        return  # asked first, since a Blender that starts has none: nothing needs to be imported
    from ..rig.preview import remove

    remove()


def why_shown() -> str | None:
    """Why what plays is not what shall leave Blender."""
    if not len(bpy.data.actions):
        return None
    from ..rig.preview import shown

    return rpt_("A preview plays on a head.") if shown() else None


def without(plan: jobs.Plan) -> jobs.Plan:
    """The plan for a job that nobody watches."""
    if not plan.task.pieces:
        return plan
    return dataclasses.replace(plan, task=dataclasses.replace(plan.task, pieces=False))


class Preview:
    """What of a job's motion is shown, and the playback that was begun for it.

    ``plan`` says where: ``scene_uid``, ``head_uid``, ``start_frame`` and ``strengths``. A preview is no condition for
    its job: where it cannot go on, it goes away, and the job does not hear of it.
    """

    def __init__(self, plan: jobs.Plan) -> None:
        self._plan, self._wanted = plan, bool(plan.task.pieces)
        self._shown, self._taken_away = 0, _taken_away
        self._before: tuple[int, float, str] | None = None
        """The frame and the way of playing before playback was begun."""

    def tick(self, context: bpy.types.Context, job: Job) -> None:
        """Show one more piece, if there is one: each takes time, and the window must not stutter."""
        if self._taken_away != _taken_away:
            self._shown, self._taken_away = 0, _taken_away
        if not self._wanted or self._shown >= len(job.pieces):
            return
        try:
            first, motion = _joined(job.pieces, self._shown)
            if not self._show(first, motion):
                return
        except TalkingEyesError as error:
            log.info("no preview: %s", error)
            self._give_up()
            return
        except Exception:  # a fault of ours or of Blender's must not take the job along
            log.exception("no preview")
            self._give_up()
            return
        self._shown += 1
        if self._shown == 1 and self._before is None:
            self._play(context)

    def remove(self) -> None:
        """Take it away; playback goes on."""
        if not self._wanted:
            return
        self._wanted = False
        from ..rig.preview import remove

        remove()

    def stop(self, context: bpy.types.Context) -> None:
        """The job has made nothing: end the playback that was begun for it, and go back to where it began."""
        scene = self._scene()
        if self._before is None or scene is None or not _playing(context):
            return
        bpy.ops.screen.animation_cancel(restore_frame=False)
        frame, subframe, sync = self._before
        scene.sync_mode = sync
        scene.frame_set(frame, subframe=subframe)

    def _show(self, first: int, motion: Motion) -> bool:
        from ..rig.channels import Parts, Strengths
        from ..rig.curves import frames_per_second
        from ..rig.preview import Place, show

        plan, scene = self._plan, self._scene()
        if scene is None:
            raise TalkingEyesError(rpt_("The scene was deleted."))
        parts = Parts(**{part.name: part.name in plan.strengths for part in dataclasses.fields(Parts)})
        place = Place(plan.start_frame, frames_per_second(scene) / motion.fps, parts, Strengths(**plan.strengths))
        return show(_head(scene, plan.head_uid), motion, first, place)

    def _scene(self) -> bpy.types.Scene | None:
        return next((scene for scene in bpy.data.scenes if scene.session_uid == self._plan.scene_uid), None)

    def _play(self, context: bpy.types.Context) -> None:
        """Begin to play where the motion begins, unless something plays already."""
        scene = self._scene()
        if context.window is None or context.scene != scene or _playing(context):
            return
        self._before = scene.frame_current, scene.frame_subframe, scene.sync_mode
        scene.sync_mode = "AUDIO_SYNC"
        scene.frame_set(int(np.ceil(self._plan.start_frame)))
        bpy.ops.screen.animation_play()

    def _give_up(self) -> None:
        try:
            self.remove()
        except Exception:
            log.exception("a preview could not be removed")


def _head(scene: bpy.types.Scene, uid: int) -> HeadRig:
    from ..rig.find import find_rig

    head = jobs.still_there(bpy.data.objects, uid, rpt_("The head was deleted"))
    if head.name not in scene.objects:
        raise TalkingEyesError(rpt_("The head was deleted."))
    return find_rig(head)


def _joined(pieces: list, number: int) -> tuple[int, Motion]:
    """First frame and motion of a piece, from the last frame of the one before it on: between the two lies a way."""
    piece = pieces[number]
    if number == 0:
        if piece.first:
            raise TalkingEyesError(rpt_("The beginning of the motion was lost."))
        return 0, piece.motion
    before = pieces[number - 1]
    if before.first + before.motion.frames != piece.first:
        raise TalkingEyesError(rpt_("A piece of the motion was lost."))
    names = ("expression", "jaw", "head", "eyes", "blink")
    last, new = before.motion, piece.motion
    return piece.first - 1, new.replace(**{n: np.concatenate([getattr(last, n)[-1:], getattr(new, n)]) for n in names})


def _playing(context: bpy.types.Context) -> bool:
    return any(window.screen.is_animation_playing for window in context.window_manager.windows)
