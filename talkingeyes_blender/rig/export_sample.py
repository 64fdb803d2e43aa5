"""A rig's motion read off Blender as it plays: constraints, drivers and what was edited by hand included."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..head import rotation
from ..head.arkit import BONES, INDEX, MOUTH_CLOSE_JAW_DEGREES
from ..head.arkit_curves import turns_of_curves
from ..head.arkit_values import OPEN_DEGREES
from ..head.flame_motion import Root
from ..motion import FPS, Motion
from .curves import frames_per_second
from .frame import unit_of
from .head_rig import HeadRig
from .takes import Take

RANGES = ("TAKE", "SCENE", "PREVIEW")
RATES = ("MOTION", "SCENE")

Progress = Callable[[float], None]


def times(
    scene: bpy.types.Scene, take: Take | None, span: str = "TAKE", rate: str = "MOTION"
) -> tuple[np.ndarray, float]:
    """((T,) scene frames to sample at, frames a second).

    ``span`` is the take's, the scene's or the preview's range. At ``rate`` 'MOTION' it is sampled 25 times a second
    from its start, which for a take are the very frames that were generated; at 'SCENE' at whole scene frames.
    """
    per_second = frames_per_second(scene)
    if span == "TAKE":
        if take is None:
            raise TalkingEyesError("There is no take to export.", "Generate one, or export the scene's range.")
        start, end, step = take.start, take.end, take.step
    else:
        preview = span == "PREVIEW"
        start = float(scene.frame_preview_start if preview else scene.frame_start)
        end = float(scene.frame_preview_end if preview else scene.frame_end)
        step = per_second / FPS
    if rate == "SCENE":
        # What is a whole frame but for rounding counts as one.
        start, end, step = np.floor(start + 1e-4), np.ceil(end - 1e-4), 1.0
    if end < start:
        raise TalkingEyesError("The range to export ends before it starts.", "Set the scene's frame range.")
    return start + step * np.arange(int((end - start) / step + 1e-4) + 1), per_second / step


class Sampler:
    """What the rig does at scene frames ``frames``, read a few at a time; no reference to Blender's data is kept.

    All turns are read from the evaluated pose. Jaw and eyes are taken relative to the bone that carries the jaw, and
    'head' is that one's turn relative to the root, so that a rig with a neck and a head bone gives both in one.
    """

    def __init__(self, rig: HeadRig, frames: np.ndarray, fps: float, seed: int = 0) -> None:
        self._frames, self._fps, self._seed = frames, fps, seed
        self._uids = tuple(None if obj is None else obj.session_uid for obj in (rig.armature, rig.mesh))
        self._named, self._expressions, self._blinks = _named_keys(rig), tuple(rig.expression_keys), rig.blink_keys
        keys = [name for name in (*self._expressions, *self._blinks, *self._named.values()) if name is not None]
        self._values = {name: np.zeros(len(frames)) for name in keys}
        self._bones = _bones(rig)
        joints = ("root", "head", "jaw", "left_eye", "right_eye")
        self._poses = {joint: np.tile(np.eye(4), (len(frames), 1, 1)) for joint in joints}
        self._axes, self._unit, self._head_model = np.array(rig.frame), unit_of(rig), rig.head_model
        root = rig.armature.data.bones[rig.bones["root"]] if "root" in rig.bones else None
        self._root = None if root is None else np.array(root.head_local, np.float64)
        self._done = 0

    @property
    def fraction(self) -> float:
        return self._done / len(self._frames)

    def read(self, context: bpy.types.Context, seconds: float = math.inf, progress: Progress | None = None) -> bool:
        """Read on for about so long; whether all frames are read. TalkingEyesError if the head is gone."""
        armature, mesh = (_there(uid) for uid in self._uids)
        end = time.perf_counter() + seconds
        left = self._frames[self._done :]
        shown = [obj for obj in (armature, mesh) if obj is not None]
        with contextlib.closing(evaluated(context, shown, left)) as played:
            for depsgraph in played:
                self._read(self._done, depsgraph, armature, mesh)
                self._done += 1
                if progress is not None:
                    progress(self.fraction)
                if time.perf_counter() >= end:
                    break
        return self._done == len(self._frames)

    def _read(self, i: int, depsgraph: bpy.types.Depsgraph, armature: bpy.types.Object, mesh) -> None:
        try:
            pose = armature.evaluated_get(depsgraph).pose.bones if self._bones else {}
            for joint, name in self._bones.items():
                rest = pose[name].bone.matrix_local.inverted_safe()
                self._poses[joint][i] = np.array(pose[name].matrix) @ np.array(rest)
            blocks = mesh.data.shape_keys.evaluated_get(depsgraph).key_blocks if self._values else {}
            for name, values in self._values.items():
                values[i] = 0.0 if blocks[name].mute else blocks[name].value
        except (KeyError, AttributeError) as error:
            raise TalkingEyesError("The head was changed while its motion was read.", "Export again.") from error

    def motion(self) -> tuple[Motion, Root]:
        """What was read, in the rig's own expression basis, and where its root bone goes; asks Blender nothing."""
        values, named, count = self._values, self._named, len(self._frames)

        def columns(names: Iterable[str | None]) -> np.ndarray:
            picked = [values[name] if name is not None else np.zeros(count) for name in names]
            return np.stack(picked, 1) if picked else np.zeros((count, 0))

        turns = {joint: _turns(matrices) for joint, matrices in self._poses.items()}

        def turn(joint: str, carrier: str) -> np.ndarray:
            if joint not in self._bones:
                return np.zeros((count, 3))
            relative = turns[carrier].transpose(0, 2, 1) @ turns[joint]
            return _axis_angles(self._axes.T @ relative @ self._axes)

        expression, jaw = columns(self._expressions), turn("jaw", "head")
        eyes = np.concatenate([turn("left_eye", "head"), turn("right_eye", "head")], 1)
        if named:
            # What its keys turn comes to what its bones turn; a part has a key or a bone.
            by_keys = turns_of_curves({part: values[name] for part, name in named.items()}, count)
            jaw, eyes = jaw + by_keys[0], eyes + by_keys[1]
            expression[:, INDEX["mouthClose"]] *= OPEN_DEGREES / MOUTH_CLOSE_JAW_DEGREES
        motion = Motion(
            expression=expression,
            jaw=jaw,
            head=turn("head", "root"),
            eyes=eyes,
            blink=np.clip(columns(self._blinks), 0, 1),
            seed=self._seed,
            head_model=self._head_model,
            fps=self._fps,
        )
        return motion.checked(), self._moved(turns["root"])

    def _moved(self, turns: np.ndarray) -> Root:
        """The root bone's motion as FLAME has it: a turn about the root joint, then a shift."""
        if self._root is None:
            return Root.still(len(self._frames))
        joint, matrices = self._root, self._poses["root"]
        moved = matrices[:, :3, :3] @ joint + matrices[:, :3, 3] - joint
        return Root(_axis_angles(self._axes.T @ turns @ self._axes), moved @ self._axes / self._unit)


def _there(uid: int | None) -> bpy.types.Object | None:
    if uid is None:
        return None
    for obj in bpy.data.objects:
        if obj.session_uid == uid:
            return obj
    raise TalkingEyesError("The head was deleted while its motion was read.", "Nothing was written.")


def identity(rig: HeadRig) -> np.ndarray:
    """(S,) values of the identity keys (Shape1, ...), as far as they go without a gap."""
    keys = rig.shape_keys
    if not rig.identity_keys or keys is None:
        return np.zeros(0)
    numbers = sorted(rig.identity_keys)
    first = min(numbers[0], 1)
    values = np.zeros(numbers[-1] - first + 1)
    for number, name in rig.identity_keys.items():
        values[number - first] = 0.0 if keys.key_blocks[name].mute else keys.key_blocks[name].value
    return values


def evaluated(
    context: bpy.types.Context,
    objects: Iterable[bpy.types.Object | None],
    frames: np.ndarray,
    progress: Progress | None = None,
) -> Iterator[bpy.types.Depsgraph]:
    """The evaluated scene at each of ``frames``; the present frame and what is hidden are as before afterwards."""
    scene = context.scene
    here = scene.frame_current, scene.frame_subframe
    with _shown(context, [obj for obj in objects if obj is not None]):
        try:
            for i, frame in enumerate(np.asarray(frames, np.float64)):
                whole = int(np.floor(frame))
                scene.frame_set(whole, subframe=float(frame - whole))
                yield context.evaluated_depsgraph_get()
                if progress is not None:
                    progress((i + 1) / len(frames))
        finally:
            scene.frame_set(here[0], subframe=here[1])


@contextlib.contextmanager
def _shown(context: bpy.types.Context, objects: list[bpy.types.Object]) -> Iterator[None]:
    """Objects are visible, since Blender does not evaluate what is not."""
    absent = [obj for obj in objects if obj.name not in context.view_layer.objects]
    if absent:
        raise TalkingEyesError(
            f"'{absent[0].name}' is not in this view layer, so its motion cannot be read.",
            "Switch its collection on in the Outliner.",
        )
    hidden = [(obj, obj.hide_viewport, obj.hide_get()) for obj in objects]
    for obj, viewport, eye in hidden:
        if viewport:
            obj.hide_viewport = False
        if eye:
            obj.hide_set(False)
    try:
        yield
    finally:
        for obj, viewport, eye in hidden:
            if eye:
                obj.hide_set(True)
            if viewport:
                obj.hide_viewport = True


def _named_keys(rig: HeadRig) -> dict[str, str]:
    """Shape key by ARKit's name of what turns jaw and eyes, on a face of such keys; none on others."""
    which = getattr(rig, "vocabulary", "")
    if which == "visemes":
        raise TalkingEyesError(
            f"'{rig.name}' speaks by visemes, from which its motion cannot be read.",
            "Export the motion as it was generated.",
        )
    keys = rig.named_keys if which == "arkit" else {}
    return {part: name for part, name in keys.items() if part in BONES}


def _bones(rig: HeadRig) -> dict[str, str]:
    """Bone by what it stands for; 'head' is the one that carries the jaw."""
    jaw = rig.bones.get("jaw")
    carrier = rig.armature.data.bones[jaw].parent if jaw is not None else None
    head = carrier.name if carrier is not None else rig.bones.get("neck")
    names = {joint: rig.bones.get(joint) for joint in ("root", "jaw", "left_eye", "right_eye")}
    return {joint: name for joint, name in {**names, "head": head}.items() if name is not None}


def _turns(matrices: np.ndarray) -> np.ndarray:
    """(T, 3, 3) the rotations in (T, 4, 4) matrices, which may scale."""
    u, _, vt = np.linalg.svd(matrices[:, :3, :3])
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return u @ vt


def _axis_angles(matrices: np.ndarray) -> np.ndarray:
    return rotation.unwrap_axis_angle(rotation.axis_angle_from_matrix(matrices))
