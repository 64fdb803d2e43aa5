"""Takes that are there: named, rated, muted, blended, baked, compared; nobody else's animation touched."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _rigs import (  # noqa: E402
    action_dump,
    dump_animation,
    evaluated_vertices,
    every_curve,
    file_dump,
    foreign_rig,
    go_to,
    random_motion,
)
from _scene import scene_hash  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.rig import compat  # noqa: E402
from talkingeyes_blender.rig.bake import bake  # noqa: E402
from talkingeyes_blender.rig.comparison import compare, comparisons, end_comparison  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.take_list import (  # noqa: E402
    clips_of,
    influence,
    is_below,
    mute,
    play_along,
    playing_with,
    rate,
    rename,
    set_fades,
    set_influence,
)
from talkingeyes_blender.rig.take_records import FORMAT, read_record, weights_in  # noqa: E402
from talkingeyes_blender.rig.takes import all_or_none, choose_take, clear, takes  # noqa: E402


@pytest.fixture
def two(scene, head, rig):
    """Two takes at the same time; the second plays."""
    write_take(rig, random_motion(head, seed=1), scene=scene, weights={"name": "W", "version": "1"})
    write_take(rig, random_motion(head, seed=2), scene=scene, keep_previous=True)
    return takes(rig)


def seen(scene, rig, frames) -> np.ndarray:
    shapes = []
    for frame in frames:
        go_to(scene, frame)
        shapes.append(evaluated_vertices(rig.mesh))
    return np.array(shapes)


FRAMES = [1, 2, 7.5, 20, 33.25, 50]

# ---------------------------------------------------------------------------------------------------- name and stars


def test_a_name_is_kept_and_action_and_strips_follow(rig, two):
    rename(bpy.data.actions[two[0].name], "  Calm ")
    first = takes(rig)[0]
    assert first.label == "Calm" and first.name.startswith("Calm")
    assert {clip.strip.name for clip in clips_of(rig, first)} == {c.strip.action.name for c in clips_of(rig, first)}
    rename(bpy.data.actions[first.name], " ")
    assert takes(rig)[0].label == "Calm"
    rename(bpy.data.actions[takes(rig)[1].name], "Calm")
    assert [take.label for take in takes(rig)] == ["Calm", "Calm"]
    rename(bpy.data.actions[takes(rig)[0].name], "ü" * 60)
    assert takes(rig)[0].label == "ü" * 60


def test_stars_and_weights_are_kept_in_the_file(rig, two, tmp_path):
    rate(bpy.data.actions[two[0].name], 4)
    rate(bpy.data.actions[two[1].name], 9)
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    there = takes(find_rig(bpy.data.objects["Ann"]))
    assert [take.rating for take in there] == [4, 5]
    assert there[0].weights == {"name": "W", "version": "1"} and there[0].format == FORMAT


def test_the_weights_say_their_name_and_version(tmp_path):
    starter = weights_in(None)
    assert starter["name"] and len(starter["version"]) == 12
    assert weights_in(tmp_path) == {}
    (tmp_path / "bundle.json").write_text('{"version": 1}')
    assert weights_in(tmp_path)["name"] == tmp_path.name


# ----------------------------------------------------------------------------------------------- muting and blending


def test_a_muted_take_lets_the_other_play(rig, two):
    mute(rig, two[1])
    assert [take.active for take in takes(rig)] == [True, False]


def test_two_takes_are_blended_by_influence_and_fades(scene, rig, two):
    go_to(scene, 20)
    key = rig.shape_keys.key_blocks["Exp2"]
    values = []
    for take in two:
        choose_take(rig, take)
        go_to(scene, 20)
        values.append(key.value)
    play_along(rig, two[0], True)
    first, second = takes(rig)
    assert first.active and second.active and playing_with(rig, first) == [second]
    upper, lower = (first, second) if is_below(rig, second) else (second, first)
    below, above = values[takes(rig).index(lower)], values[takes(rig).index(upper)]
    set_influence(rig, upper, 0.25)
    go_to(scene, 20)
    assert influence(rig, upper) == pytest.approx(0.25)
    assert key.value == pytest.approx(0.25 * above + 0.75 * below, abs=1e-4)
    set_influence(rig, upper, 1.0)
    set_fades(rig, upper, into=38)  # from frame 1 to 39
    go_to(scene, 20)
    assert key.value == pytest.approx(0.5 * above + 0.5 * below, abs=1e-4)


def test_an_influence_that_somebody_animated_stays(rig, two):
    for clip in clips_of(rig, two[1]):
        clip.strip.use_animated_influence = True
        curve = clip.strip.fcurves.find("influence")
        curve.keyframe_points.insert(1, 0.0)
        curve.keyframe_points.insert(40, 1.0)
    before = [dump_animation(rig.armature), [tuple(p.co) for p in curve.keyframe_points]]
    set_influence(rig, two[1], 0.5)
    assert [dump_animation(rig.armature), [tuple(p.co) for p in curve.keyframe_points]] == before


def test_several_takes_are_all_written_or_none(scene, head, rig, two):
    before = file_dump()
    with pytest.raises(RuntimeError), all_or_none(rig):
        for seed in (5, 6):
            write_take(rig, random_motion(head, seed=seed, frames=70), scene=scene, keep_previous=True)
        raise RuntimeError
    assert [t.active for t in takes(rig)] == [False, True]
    assert file_dump()["actions"] == before["actions"] and file_dump()["keys"] == before["keys"]


# ------------------------------------------------------------------------------------------------------------ baking


@pytest.mark.parametrize("way", ["alone", "influence", "fade", "slow"])
def test_what_is_baked_looks_as_it_did(scene, head, rig, two, way):
    if way != "alone":
        play_along(rig, two[0], True)
        upper = takes(rig)[0] if is_below(rig, takes(rig)[1]) else takes(rig)[1]
        if way == "influence":
            set_influence(rig, upper, 0.3)
        elif way == "fade":
            set_fades(rig, upper, into=10, out=15)
        else:
            for clip in clips_of(rig, upper):
                clip.strip.scale = 0.5
    frames = [frame for frame in FRAMES if way != "fade" or frame == int(frame)]
    before = seen(scene, rig, frames)
    baked = bake(rig, takes(rig)[1])
    assert not any(take.active for take in takes(rig))
    assert read_record(baked.action) is None
    assert rig.armature.animation_data.action == baked.action
    error = np.abs(seen(scene, rig, frames) - before).max()
    assert error < 5e-5, error
    clear(rig)
    assert np.abs(seen(scene, rig, frames) - before).max() < 5e-5  # sliders stay wide enough for it
    assert [action.name for action in bpy.data.actions if read_record(action) is not None] == []


def test_a_muted_take_is_baked_alone_with_the_edits(scene, rig, two):
    choose_take(rig, two[0])
    expected = seen(scene, rig, FRAMES)
    choose_take(rig, two[1])
    curve = next(c for c in every_curve(clips_of(rig, two[0])[0].strip.action) if "jaw" in c.data_path)
    curve.keyframe_points[2].interpolation = "BEZIER"
    path, index = curve.data_path, curve.array_index
    baked = bake(rig, two[0])
    same = next(c for c in every_curve(baked.action) if (c.data_path, c.array_index) == (path, index))
    assert same.keyframe_points[2].interpolation == "BEZIER"
    assert np.abs(seen(scene, rig, FRAMES) - expected)[[0, 3, 5]].max() < 5e-5
    assert takes(rig)[1].active  # it lies below the baked action, which hides it; nobody asked to mute it


def mine(rig, path='pose.bones["jaw"].scale') -> bpy.types.Action:
    """An active action of the user's on the armature, which moves something that takes do not."""
    (action, slot), *_ = compat.new_actions("Mine", [rig.armature])
    curve = compat.Curves(action, slot).new(path, 0, "jaw")
    for frame, value in ((-20, 1.0), (10, 1.25), (90, 2.0)):
        curve.keyframe_points.insert(frame, value)
    data = rig.armature.animation_data_create()
    data.action = action
    if slot is not None:
        data.action_slot = slot
    return action


def test_a_bake_leaves_the_active_action_alone(scene, head, rig, two):
    action = mine(rig)
    before = action_dump(action)
    look = seen(scene, rig, FRAMES)
    baked = bake(rig, two[1])
    assert rig.armature.animation_data.action == action and action_dump(action) == before
    tracks = [t.name for t in rig.armature.animation_data.nla_tracks if t.strips[0].action == baked.action]
    assert len(tracks) == 1
    assert np.abs(seen(scene, rig, FRAMES) - look).max() < 5e-5


def test_a_bake_into_the_active_action_joins_it(scene, head, rig, two):
    with pytest.raises(TalkingEyesError, match="no active action"):
        bake(rig, two[1], into_active=True)
    bake(rig, two[1])  # the user's own actions on both owners from here on
    armature = rig.armature.animation_data
    name, count = armature.action.name, len(bpy.data.actions)
    mine_curve = next(c for c in every_curve(armature.action) if "jaw" in c.data_path)
    path, index = mine_curve.data_path, mine_curve.array_index
    mine_curve.keyframe_points.insert(-30, 0.5)
    choose_take(rig, two[0])
    bake(rig, two[0], into_active=True)
    assert armature.action.name == name and len(bpy.data.actions) == count
    curve = next(c for c in every_curve(armature.action) if (c.data_path, c.array_index) == (path, index))
    assert curve.keyframe_points[0].co[:] == (-30, 0.5)
    source = next(
        c for c in every_curve(clips_of(rig, two[0])[0].strip.action) if (c.data_path, c.array_index) == (path, index)
    )
    assert len(curve.keyframe_points) == len(source.keyframe_points) + 1
    assert [tuple(p.co) for p in curve.keyframe_points][1:] == [tuple(p.co) for p in source.keyframe_points]


def test_what_cannot_be_baked_is_refused_and_nothing_changes(rig, two):
    for clip in clips_of(rig, two[1]):
        clip.strip.blend_type = "COMBINE"
    before = scene_hash()
    with pytest.raises(TalkingEyesError, match="cannot be baked"):
        bake(rig, two[1])
    assert scene_hash() == before


# -------------------------------------------------------------------------------------------------------- side by side


def test_a_comparison_shows_the_other_take_and_goes_without_a_trace(scene, rig, two):
    go_to(scene, 20)
    before, look = file_dump(), seen(scene, rig, FRAMES)
    choose_take(rig, two[0])
    expected = seen(scene, rig, FRAMES)
    choose_take(rig, two[1])
    beside = compare(scene, rig, two[0])
    scene.view_layers[0].update()
    assert beside.armature.data == rig.armature.data
    assert np.abs(seen(scene, rig, FRAMES) - look).max() < 1e-6
    assert np.abs(seen(scene, beside, FRAMES) - expected).max() < 1e-6
    assert [t.active for t in takes(rig)] == [False, True] and [t.active for t in takes(beside)] == [True, False]
    shift = beside.armature.matrix_world.translation - rig.armature.matrix_world.translation
    width = np.ptp(evaluated_vertices(rig.mesh)[:, 0])
    assert 0.9 * width < shift.length < 2 * width
    compare(scene, rig, two[0])  # again: the first one goes
    assert len(comparisons(scene)) == 1
    assert end_comparison(scene) == 1
    go_to(scene, 20)
    assert file_dump() == before


def test_a_comparison_of_a_comparison_is_refused(scene, rig, two):
    beside = compare(scene, rig, two[0])
    with pytest.raises(TalkingEyesError, match="for comparison"):
        compare(scene, beside, two[0])


def test_drivers_and_other_objects_of_the_copy_are_the_copys(scene, head, rig, two):
    hat = bpy.data.objects.new("Hat", bpy.data.meshes.new("Hat"))
    scene.collection.objects.link(hat)
    hat.parent, hat.parent_type, hat.parent_bone = rig.armature, "BONE", "neck"
    beside = compare(scene, rig, two[0])
    copies = {obj.name for obj in comparisons(scene)[0].objects}
    assert len(copies) == 3
    (new_hat,) = [o for o in comparisons(scene)[0].objects if o.data == hat.data]
    assert new_hat.parent == beside.armature and new_hat.parent_bone == "neck"
    targets = [
        target.id
        for block in (beside.armature, beside.mesh, beside.shape_keys)
        for curve in (block.animation_data.drivers if block.animation_data else ())
        for variable in curve.driver.variables
        for target in variable.targets
    ]
    assert targets and all(target in (beside.armature, beside.mesh, beside.shape_keys) for target in targets)


def test_foreign_rigs_are_compared_too(scene, head):
    rig = find_rig(foreign_rig(head))
    motion = random_motion(head, head_model=rig.head_model)
    take = write_take(rig, motion, scene=scene)
    write_take(rig, random_motion(head, seed=4, head_model=rig.head_model), scene=scene, keep_previous=True)
    before = file_dump()
    compare(scene, rig, take)
    end_comparison(scene, rig)
    assert file_dump() == before
