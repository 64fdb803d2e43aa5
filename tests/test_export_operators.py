"""What a click on an export does: numbers as they play or as generated, from a saved file too, and clear words."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import os

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import write_head  # noqa: E402
from _motions import standin_motion  # noqa: E402
from _rigs import every_curve, foreign_rig, fresh_scene, random_motion  # noqa: E402
from _scene import scene_hash  # noqa: E402

import talkingeyes_blender  # noqa: E402
from talkingeyes_blender.head.arkit_curves import NAMES, arkit_curves  # noqa: E402
from talkingeyes_blender.head.flame_motion import read_flame  # noqa: E402
from talkingeyes_blender.head.standin import load_standin  # noqa: E402
from talkingeyes_blender.operators import memory, subject  # noqa: E402
from talkingeyes_blender.operators.export import CLASSES, SCENE_CLASSES, ExportFbx, ExportFlame  # noqa: E402
from talkingeyes_blender.rig import export_scene  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.channels import Strengths  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402

CHANNELS = ("expression", "jaw", "head", "eyes", "blink")


@pytest.fixture(scope="module", autouse=True)
def addon():
    talkingeyes_blender.register()
    yield
    talkingeyes_blender.unregister()


@pytest.fixture
def scene():
    scene = fresh_scene()
    scene.render.fps = 24
    return scene


def speak(rig, motion, generated=None, **options):
    """Write a take as Generate does, and remember what it was made from."""
    scene = bpy.context.scene
    take = write_take(rig, motion, scene=scene, start_frame=3.2, **options)
    memory.remember(take, generated or motion)
    scene.talkingeyes.rig = rig.mesh
    scene.frame_set(7)
    return take


def values_of(path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def rows_of(path) -> dict[str, np.ndarray]:
    with open(path, newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    return dict(zip(head, np.array(rows, float).T, strict=True))


def test_a_take_comes_back_from_a_saved_file(scene, head, tmp_path):
    motion = random_motion(head, 25, 4)
    speak(build_head(bpy.context, head, "Ann"), motion)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "ann.blend"))
    fresh_scene()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "ann.blend"))
    bpy.context.scene.frame_set(5)
    before = scene_hash()
    for source in ("PLAYED", "GENERATED"):
        path = tmp_path / f"{source}.npz"
        assert bpy.ops.talkingeyes.export_flame(filepath=str(path), source=source) == {"FINISHED"}
        back, root, shape = read_flame(path)
        for name in CHANNELS:
            assert np.abs(getattr(back, name) - getattr(motion, name)).max() < 2e-5, (source, name)
        assert (back.fps, back.seed, back.head_model) == (25, 4, head.identity)
        assert not root.rotation.any() and not root.translation.any() and len(shape) == 3
    assert scene_hash() == before


def test_strengths_edits_and_the_root_are_in_what_plays(scene, head, tmp_path):
    motion = random_motion(head, 25, 4)
    rig = build_head(bpy.context, head, "Ann")
    speak(rig, motion, strengths=Strengths(gaze=0.5))
    for curve in [curve for action in bpy.data.actions for curve in every_curve(action)]:
        if curve.data_path == 'key_blocks["Exp2"].value':
            for point in curve.keyframe_points:
                point.co.y = 0.25
    bone = rig.armature.pose.bones["root"]
    bone.rotation_mode, bone.rotation_euler, bone.location = "XYZ", (0.0, 0.3, 0.0), (0.01, 0.0, 0.02)
    bpy.ops.talkingeyes.export_flame(filepath=str(tmp_path / "played"))
    bpy.ops.talkingeyes.export_flame(filepath=str(tmp_path / "generated.npz"), source="GENERATED")
    played, root, _ = read_flame(tmp_path / "played.npz")
    generated, _, _ = read_flame(tmp_path / "generated.npz")
    assert np.abs(played.eyes - 0.5 * motion.eyes).max() < 2e-5
    assert np.allclose(played.expression[:, 1], 0.25) and np.allclose(played.expression[:, 2], motion.expression[:, 2])
    assert np.allclose(played.head, motion.head, atol=2e-5)
    assert np.allclose(root.rotation, [0, 0.3, 0], atol=1e-6)
    assert np.allclose(root.translation, [0.01, 0, 0.02], atol=1e-6)
    assert np.allclose(generated.eyes, motion.eyes) and np.array_equal(generated.expression, motion.expression)


def test_any_rig_gives_the_same_numbers(scene, head, tmp_path):
    """Bones of any roll and rotation mode, in another frame, found by geometry."""
    motion = random_motion(head, 25, 5, blink=np.zeros((25, 2)))
    for mode in ("QUATERNION", "ZXY", "AXIS_ANGLE"):
        fresh_scene()
        rig = find_rig(foreign_rig(head, np.eye(3), mode=mode, twisted=True))
        speak(rig, motion.replace(head_model=rig.head_model))
        bpy.ops.talkingeyes.export_flame(filepath=str(tmp_path / "take.npz"))
        back, _, _ = read_flame(tmp_path / "take.npz")
        for name in CHANNELS[:4]:
            assert np.abs(getattr(back, name) - getattr(motion, name)).max() < 1e-4, (mode, name)


def test_joints_that_are_not_there_do_not_turn(scene, head, tmp_path):
    rig = find_rig(foreign_rig(head, names={"neck": "neck", "jaw": "jaw"}))
    motion = random_motion(head, 6, 5, head_model=rig.head_model)
    speak(rig, motion)
    bpy.ops.talkingeyes.export_flame(filepath=str(tmp_path / "take.npz"))
    back, root, _ = read_flame(tmp_path / "take.npz")
    assert np.abs(back.head - motion.head).max() < 1e-5 and np.abs(back.jaw - motion.jaw).max() < 1e-5
    assert not back.eyes.any() and not root.rotation.any()


def test_ranges_and_rates(scene, head, tmp_path):
    take = speak(build_head(bpy.context, head, "Ann"), random_motion(head, 25, 4))
    scene.frame_start, scene.frame_end = 1, 60
    path = str(tmp_path / "take.npz")
    bpy.ops.talkingeyes.export_flame(filepath=path, span="SCENE", rate="SCENE")
    motion, _, _ = read_flame(path)
    assert motion.frames == 60 and motion.fps == 24 and take.end < 60
    with pytest.raises(RuntimeError, match="As generated, a motion has its own length"):
        bpy.ops.talkingeyes.export_flame(filepath=path, source="GENERATED", rate="SCENE")


def test_curves_of_a_standin_and_of_another_head(scene, head, tmp_path):
    path = str(tmp_path / "take.csv")
    motion = standin_motion(15)
    rig = build_head(bpy.context, load_standin(), "Sam")
    speak(rig, motion)
    bpy.ops.talkingeyes.export_arkit(filepath=path)
    rows = rows_of(path)
    wanted = dict(zip(NAMES, arkit_curves(motion).T, strict=True))
    assert np.allclose(rows["time"], np.arange(15) / 25)
    assert max(np.abs(rows[name] - wanted[name]).max() for name in NAMES) < 1e-4

    fresh_scene()
    rig = build_head(bpy.context, head, "Ann")
    speak(rig, random_motion(head, 15, 6), motion)
    bpy.ops.talkingeyes.export_arkit(filepath=path, columns="live-link", source="GENERATED")
    with open(path, newline="", encoding="utf-8") as stream:
        assert next(csv.reader(stream))[:2] == ["Timecode", "BlendshapeCount"]
    bpy.ops.talkingeyes.export_arkit(filepath=path, source="GENERATED")
    rows = rows_of(path)
    assert max(np.abs(rows[name] - wanted[name]).max() for name in NAMES) < 1e-5
    bpy.ops.talkingeyes.export_arkit(filepath=path)  # carried over from the head's own expressions
    rows = rows_of(path)
    assert rows["jawOpen"].any() and rows["eyeLookInLeft"].any() and max(rows[name].max() for name in NAMES) <= 1
    assert sum(rows[name].any() for name in NAMES if name.startswith("mouth")) > 5


def test_avatars(scene, head, tmp_path):
    path, flame = str(tmp_path / "take.npz"), tmp_path / "flame.npz"
    write_head(flame, head)
    np.savez(tmp_path / "flame_param.npz", rotation=np.full((2, 3), 0.1), translation=np.full((2, 3), 0.2))
    speak(build_head(bpy.context, load_standin(), "Sam"), standin_motion(5))
    with pytest.raises(RuntimeError, match=r"expressions are the stand-in's.*Choose the FLAME file"):
        bpy.ops.talkingeyes.export_gaussian_avatar(filepath=path)
    bpy.ops.talkingeyes.export_gaussian_avatar(filepath=path, head_file=str(flame), avatar=str(tmp_path))
    values = values_of(path)
    assert values["expr"].shape == (5, 100) and values["expr"][:, :8].any() and not values["expr"][:, 8:].any()
    assert np.allclose(values["rotation"], 0.1, atol=1e-6) and np.allclose(values["translation"], 0.2, atol=1e-6)
    bpy.ops.talkingeyes.export_flame(filepath=path, head_file=str(flame))
    assert read_flame(path)[0].head_model == head.identity

    fresh_scene()
    speak(build_head(bpy.context, head, "Ann"), random_motion(head, 5, 1, blink=np.zeros((5, 2))))
    bpy.ops.talkingeyes.export_gaussian_avatar(filepath=path)  # its own expressions are the avatar's
    own = values_of(path)["expr"]
    assert np.allclose(own[:, :8], random_motion(head, 5, 1).expression, atol=1e-6)


def test_what_cannot_be_done_is_said(scene, head, tmp_path, monkeypatch):
    assert {cls.disabled_reason(bpy.context) for cls in CLASSES} == {"No head is chosen."}
    rig = build_head(bpy.context, head, "Ann")
    scene.talkingeyes.rig = rig.mesh
    assert {cls.disabled_reason(bpy.context) for cls in CLASSES} == {"'Ann' has no take yet."}
    take = write_take(rig, random_motion(head, 5), scene=scene)
    assert {cls.disabled_reason(bpy.context) for cls in CLASSES} == {None}
    with pytest.raises(RuntimeError, match="does not hold its motion"):
        bpy.ops.talkingeyes.export_flame(filepath=str(tmp_path / "a.npz"), source="GENERATED")
    with pytest.raises(RuntimeError, match="No file is named"):
        bpy.ops.talkingeyes.export_flame()
    with pytest.raises(RuntimeError, match=r"gone.pkl could not be read"):
        bpy.ops.talkingeyes.export_flame(filepath=str(tmp_path / "a.npz"), head_file=str(tmp_path / "gone.pkl"))
    with pytest.raises(RuntimeError, match="could not be written"):
        bpy.ops.talkingeyes.export_arkit(filepath=str(tmp_path / "gone" / "a.csv"))
    monkeypatch.setattr(export_scene, "_properties", lambda operator: None)
    assert ExportFbx.disabled_reason(bpy.context) == "This Blender has no exporter for FBX."
    assert ExportFlame.disabled_reason(bpy.context) is None and not os.listdir(tmp_path)
    assert subject.take_of(bpy.context).id == take.id


@pytest.mark.parametrize("cls", SCENE_CLASSES)
def test_scene_files_by_click(scene, head, tmp_path, cls):
    speak(build_head(bpy.context, head, "Ann"), random_motion(head, 5))
    before = scene_hash()
    operator = getattr(bpy.ops.talkingeyes, cls.bl_idname.split(".")[1])
    assert operator(filepath=str(tmp_path / "ann")) == {"FINISHED"}
    assert os.listdir(tmp_path) == [f"ann{cls.filename_ext}"] and scene_hash() == before


def test_everything_has_a_tooltip():
    for cls in CLASSES:
        kind = getattr(bpy.ops.talkingeyes, cls.bl_idname.split(".")[1]).get_rna_type()
        assert kind.description
        ours = [p for p in kind.properties if p.identifier in (*cls.__annotations__, "span", "source", "rate")]
        assert ours and all(p.description for p in ours if not p.is_hidden), cls
