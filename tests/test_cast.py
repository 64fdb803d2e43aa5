"""Several heads in one scene: each keeps its strip and settings, and brings them along."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import foreign_rig, fresh_scene, random_motion  # noqa: E402

from talkingeyes_blender import registration  # noqa: E402
from talkingeyes_blender.operators import cast as heads  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402


@pytest.fixture
def cast():
    scene = fresh_scene()
    registration.register()
    head = tiny_head()
    meshes = [foreign_rig(head) for _ in range(3)]
    for mesh in meshes:
        mesh["talkingeyes_head_model"] = head.identity
    yield scene, head, meshes
    registration.unregister()


def select(obj) -> None:
    bpy.context.view_layer.objects.active = obj
    bpy.context.view_layer.update()
    heads.selection_changed(bpy.context.scene)


def test_each_head_brings_its_strip_and_settings(cast):
    scene, _, (first, second, _) = cast
    settings = scene.talkingeyes
    settings.rig = first
    settings.strip, settings.seed, settings.strength_head = "Anna.wav", 7, 0.5
    settings.rig = second
    settings.strip, settings.seed, settings.strength_head, settings.gaze_choice = "Ben.wav", 9, 1.5, "argmin"
    settings.rig = first
    assert (settings.strip, settings.seed, settings.strength_head, settings.gaze_choice) == (
        "Anna.wav",
        7,
        0.5,
        "sample",
    )
    settings.rig = second.find_armature()
    assert (settings.strip, settings.seed, settings.gaze_choice) == ("Ben.wav", 9, "argmin")
    shown = [(head, strip, now) for head, strip, now in heads.listed(scene)]
    assert shown == [(first.find_armature(), "Anna.wav", False), (second.find_armature(), "Ben.wav", True)]
    assert bpy.ops.talkingeyes.choose_head(head=first.find_armature().name) == {"FINISHED"}
    assert settings.strip == "Anna.wav"
    with pytest.raises(RuntimeError, match="no head 'Nobody'"):
        bpy.ops.talkingeyes.choose_head(head="Nobody")


def test_settings_follow_the_selection_where_no_head_is_chosen(cast):
    scene, _, (first, second, _) = cast
    settings = scene.talkingeyes
    select(first)
    settings.strip = "Anna.wav"
    select(second)
    settings.strip = "Ben.wav"
    cube = bpy.data.objects.new("Empty", None)
    scene.collection.objects.link(cube)
    select(cube)
    assert settings.strip == "Ben.wav"
    select(first)
    assert settings.strip == "Anna.wav"
    select(second.find_armature())
    assert settings.strip == "Ben.wav"


def test_a_head_that_has_takes_is_known_by_its_newest(cast):
    scene, head, (first, second, third) = cast
    settings = scene.talkingeyes
    settings.rig = first
    settings.strip = "Anna.wav"
    write_take(find_rig(third), random_motion(head, 5), scene=scene, seed=42, settings={"strip": "Cleo.wav"})
    settings.rig = third
    assert (settings.strip, settings.seed) == ("Cleo.wav", 42)
    settings.rig = second
    assert settings.strip == "Cleo.wav"  # a head that nobody knows begins with what the panel shows
    bpy.data.objects.remove(third.find_armature())
    settings.rig = first
    assert settings.strip == "Anna.wav" and len(heads.listed(scene)) == 2
