"""The operators and panels of what lies over a take: look-at, strengths, fewer keys, characters."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import every_curve, file_dump, fresh_scene, random_motion  # noqa: E402

import talkingeyes_blender  # noqa: E402
from talkingeyes_blender import characters  # noqa: E402
from talkingeyes_blender.operators import look_at, presets, reduce_keys  # noqa: E402
from talkingeyes_blender.operators.adjust_take import LARGEST, STRENGTHS, ResetStrengths  # noqa: E402
from talkingeyes_blender.rig import gaze_layer, strength_layer  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def addon():
    talkingeyes_blender.register()
    yield
    talkingeyes_blender.unregister()


@pytest.fixture
def rig(tmp_path, monkeypatch):
    scene = fresh_scene()
    monkeypatch.setattr(presets.preferences, "data_folder", lambda: tmp_path)
    rig = build_head(bpy.context, tiny_head(), "Ann")
    scene.talkingeyes.rig = rig.armature
    return rig


@pytest.fixture
def take(rig):
    written = write_take(rig, random_motion(tiny_head(), 30), scene=bpy.context.scene, start_frame=1)
    bpy.context.scene.frame_set(1)
    return written


def test_look_at_comes_and_goes(rig, take):
    before = file_dump()
    assert "no target" in look_at.RemoveLookAt.disabled_reason(bpy.context)
    assert bpy.ops.talkingeyes.add_look_at(weight=0.5) == {"FINISHED"}
    assert rig.armature[gaze_layer.WEIGHT] == 0.5
    assert "already" in look_at.AddLookAt.disabled_reason(bpy.context)
    assert bpy.ops.talkingeyes.remove_look_at() == {"FINISHED"}
    assert file_dump() == before


def test_a_target_that_is_not_there(rig):
    before = file_dump()
    with pytest.raises(RuntimeError, match="no object 'Moon'"):
        bpy.ops.talkingeyes.add_look_at(target="Moon")
    assert file_dump() == before


def test_sliders_act_on_the_take_that_plays(rig, take):
    before = file_dump()
    sliders = bpy.context.scene.talkingeyes.take
    assert [getattr(sliders, name) for name in STRENGTHS] == [1.0] * 6
    sliders.jaw, sliders.gaze = 1.5, 0.25
    found = strength_layer.adjustment_of(rig, take)
    assert (found.jaw, found.gaze) == (1.5, 0.25) and sliders.jaw == 1.5
    assert bpy.ops.talkingeyes.reset_strengths() == {"FINISHED"}
    assert file_dump() == before
    assert "as it was" in ResetStrengths.disabled_reason(bpy.context)
    assert strength_layer.LARGEST == LARGEST


def test_sliders_without_a_take(rig):
    sliders = bpy.context.scene.talkingeyes.take
    sliders.jaw = 2.0
    assert sliders.jaw == 1.0
    assert "no take" in ResetStrengths.disabled_reason(bpy.context)


def test_keys_are_reduced_by_a_click(rig, take):
    count = sum(len(c.keyframe_points) for a in bpy.data.actions for c in every_curve(a))
    assert bpy.ops.talkingeyes.reduce_keys(degrees=5, millimetres=5) == {"FINISHED"}
    left = sum(len(c.keyframe_points) for a in bpy.data.actions for c in every_curve(a))
    assert left < 0.9 * count


def test_new_takes_are_reduced_where_one_wants_that(rig, take):
    scene = bpy.context.scene
    assert reduce_keys.reduce_new(scene, rig, take) == ()
    scene.talkingeyes.reduce_keys = True
    (said,) = reduce_keys.reduce_new(scene, rig, take)
    assert "keys became" in said and "degrees" in said and "mm" in said


def test_characters_set_what_they_say(rig):
    settings = bpy.context.scene.talkingeyes
    for name, values in characters.BUILT_IN.items():
        assert bpy.ops.talkingeyes.apply_preset(name=name) == {"FINISHED"}
        assert settings.preset == name
        for key, value in values.items():
            assert getattr(settings, key) == (pytest.approx(value) if isinstance(value, float) else value)
    settings.strength_head = 0.33
    bpy.ops.talkingeyes.save_preset(name="Mine")
    bpy.ops.talkingeyes.apply_preset(name="As Generated")
    assert "comes with" in presets.RemovePreset.disabled_reason(bpy.context)
    bpy.ops.talkingeyes.apply_preset(name="Mine")
    assert settings.strength_head == pytest.approx(0.33)
    assert bpy.ops.talkingeyes.remove_preset() == {"FINISHED"}
    assert settings.preset == "" and characters.own_names(presets.folder()) == []


@pytest.mark.parametrize("key, value", [("blink_preset", "NEVER"), ("strength_head", 99), ("write_face", 1)])
def test_a_character_that_cannot_be_changes_nothing(rig, key, value):
    settings = bpy.context.scene.talkingeyes
    characters.save(presets.folder(), "Odd", characters.BUILT_IN["Lively, Speaking"] | {key: value})
    with pytest.raises(RuntimeError, match="Odd"):
        bpy.ops.talkingeyes.apply_preset(name="Odd")
    assert settings.strength_face == 1.0 and settings.preset == ""
