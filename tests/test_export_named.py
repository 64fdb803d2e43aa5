"""Faces of ARKit's keys and of visemes leave Blender: their keys are read back as what they turn."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
faces = pytest.importorskip("_named_rigs", reason="rigs of named keys are not in this version")

from _motions import standin_motion  # noqa: E402
from _reimport import ENDINGS, largest_difference, marks, played_vertices, reimported  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.export_data import export_arkit, known, played  # noqa: E402
from talkingeyes_blender.rig.export_sample import times  # noqa: E402
from talkingeyes_blender.rig.export_scene import export_scene  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402


@pytest.mark.parametrize("joints", [(), ("root", "neck", "left_eye", "right_eye")])
def test_arkits_keys(scene, tmp_path, joints):
    motion = standin_motion(8, blink=np.zeros((8, 2)))
    rig = find_rig(faces.named_face(faces.arkit_shapes(), joints=joints))
    take = write_take(rig, motion, scene=scene, start_frame=1)
    export_arkit(tmp_path / "face.csv", known(rig, rig.head_model, False), played(bpy.context, rig, take)[0])
    with open(tmp_path / "face.csv", newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    curves = dict(zip(head, np.array(rows, float).T, strict=True))
    for frame in range(8):
        scene.frame_set(1 + frame)
        for part, name in rig.named_keys.items():
            if joints and part.startswith("eyeLook"):
                continue
            assert curves[part][frame] == pytest.approx(rig.shape_keys.key_blocks[name].value, abs=2e-3), part
    assert curves["eyeLookInLeft"].any() and curves["jawOpen"].any()

    frames, _ = times(scene, take, "TAKE", "SCENE")
    wanted, rest = played_vertices(scene, rig.mesh, frames), marks(rig.mesh)
    for format_, ending in ENDINGS.items():
        export_scene(bpy.context, rig, tmp_path / f"face{ending}", format_, frames)
    for format_, ending in ENDINGS.items():
        meshes = reimported(tmp_path / f"face{ending}", format_, (25, 1.0))
        skin = max(meshes, key=lambda mesh: len(mesh.data.vertices))
        first = 0 if format_ in ("GLTF", "FBX") else 1
        assert largest_difference(skin, wanted, rest, first) < 1e-5, format_


def test_visemes_are_not_read_back(scene):
    rig = find_rig(faces.named_face(faces.viseme_shapes()))
    take = write_take(rig, standin_motion(4), scene=scene, start_frame=1)
    with pytest.raises(TalkingEyesError, match="speaks by visemes"):
        played(bpy.context, rig, take)
