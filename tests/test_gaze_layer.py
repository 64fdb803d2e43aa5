"""The look-at over a take: where the eyes point, how far they go, what the head does, and that it goes away again."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _heads import tiny_head  # noqa: E402
from _rigs import evaluated_vertices, file_dump, foreign_rig, go_to, random_motion  # noqa: E402
from mathutils import Vector  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.rig import gaze_layer as layer  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import clear, write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402

pytestmark = pytest.mark.usefixtures("scene")

plain = pytest.mark.parametrize("rig", ["ours"], indirect=True)
TILTED = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@pytest.fixture(params=["ours", "twisted quaternions", "twisted axis-angle", "turned and scaled"])
def rig(request, scene):
    head = tiny_head()
    if request.param == "ours":
        return build_head(bpy.context, head, "Ann")
    if request.param == "turned and scaled":
        rig = build_head(bpy.context, head, "Ann")
        rig.armature.location, rig.armature.rotation_euler = (1, 2, 3), (0.3, 0.2, 1.1)
        rig.armature.scale = (10, 10, 10)
        bpy.context.view_layer.update()
        return rig
    mode = "AXIS_ANGLE" if "axis" in request.param else "QUATERNION"
    return find_rig(foreign_rig(head, TILTED if mode == "AXIS_ANGLE" else np.eye(3), mode=mode, twisted=True, seed=3))


def take_on(rig, scene, frames=20):
    motion = random_motion(tiny_head(), frames)
    return write_take(rig, motion.replace(head_model=rig.head_model), scene=scene, start_frame=1)


def gaze_of(rig, joint) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(eye's place, where it looks, where the bone that carries it faces), in the world."""
    armature = rig.armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    bone = armature.pose.bones[rig.bones[joint]]
    world = np.array(armature.matrix_world @ bone.matrix)

    def front(bone):
        rest = np.array(bone.bone.matrix_local.to_3x3())
        vector = np.array((armature.matrix_world @ bone.matrix).to_3x3()) @ rest.T @ rig.frame[:, 2]
        return vector / np.linalg.norm(vector)

    return world[:3, 3], front(bone), front(bone.parent)


def degrees(a, b) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


def put(rig, target, left: float, up: float, metres: float) -> None:
    """Move a target to where it is seen in these directions (degrees) from between the eyes, at rest."""
    a, b = np.radians([left, up])
    direction = rig.frame @ [np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)]
    place = layer._eyes_middle(rig) + metres * layer.unit_of(rig) * direction
    target.location = rig.armature.matrix_world @ Vector(place)


def set_to(rig, name, value) -> None:
    rig.armature[name] = value
    rig.armature.update_tag()
    bpy.context.view_layer.update()


def test_both_eyes_look_at_the_target_through_a_take(rig, scene):
    take_on(rig, scene)
    target = layer.add_layer(bpy.context, rig)
    for metres in (0.25, 5.0):
        put(rig, target, 10, -5, metres)
        for frame in (1, 7.5, 20):
            go_to(scene, frame)
            aims = []
            for joint in ("left_eye", "right_eye"):
                place, gaze, ahead = gaze_of(rig, joint)
                wanted = np.array(target.matrix_world.translation) - place
                if degrees(wanted, ahead) < 33:
                    assert degrees(gaze, wanted) < 0.02
                aims.append(gaze)
        if metres == 0.25:
            assert 8 < degrees(*aims) < 20, "the eyes converge on what is near"
        else:
            assert degrees(*aims) < 1.5


def test_no_weight_is_the_generated_gaze_and_half_lies_half_way(rig, scene):
    take_on(rig, scene)
    go_to(scene, 9)
    generated = [gaze_of(rig, joint)[1] for joint in ("left_eye", "right_eye")]
    target = layer.add_layer(bpy.context, rig)
    put(rig, target, -15, 10, 1)
    set_to(rig, layer.WEIGHT, 0.0)
    go_to(scene, 9)
    for joint, before in zip(("left_eye", "right_eye"), generated, strict=True):
        assert degrees(gaze_of(rig, joint)[1], before) < 0.01
    set_to(rig, layer.WEIGHT, 1.0)
    looked = [gaze_of(rig, joint)[1] for joint in ("left_eye", "right_eye")]
    set_to(rig, layer.WEIGHT, 0.5)
    for joint, a, b in zip(("left_eye", "right_eye"), generated, looked, strict=True):
        half = gaze_of(rig, joint)[1]
        assert degrees(half, a) == pytest.approx(degrees(a, b) / 2, abs=1.0)
        assert degrees(half, b) == pytest.approx(degrees(a, b) / 2, abs=1.0)


def test_the_eyes_stay_within_their_range_and_never_jump(rig, scene):
    target = layer.add_layer(bpy.context, rig)
    before, largest = None, 0.0
    for angle in range(0, 361, 3):
        put(rig, target, angle, 20, 2)
        bpy.context.view_layer.update()
        _, gaze, ahead = gaze_of(rig, "left_eye")
        largest = max(largest, degrees(gaze, ahead))
        assert before is None or degrees(gaze, before) < 6
        before = gaze
    assert 33 < largest < 35.1


@plain
def test_the_range_can_be_set(rig, scene):
    target = layer.add_layer(bpy.context, rig)
    put(rig, target, 40, 0, 2)
    set_to(rig, layer.RANGE, 20.0)
    _, gaze, ahead = gaze_of(rig, "left_eye")
    assert degrees(gaze, ahead) == pytest.approx(20, abs=0.3)


def test_the_head_takes_its_share_over_its_own_motion(rig, scene):
    take_on(rig, scene)
    target = layer.add_layer(bpy.context, rig)
    put(rig, target, 40, 0, 3)
    go_to(scene, 5)
    _, _, alone = gaze_of(rig, "left_eye")
    set_to(rig, layer.HEAD_SHARE, 0.5)
    _, gaze, ahead = gaze_of(rig, "left_eye")
    assert degrees(ahead, alone) == pytest.approx(20, abs=1.5)
    place = gaze_of(rig, "left_eye")[0]
    wanted = np.array(target.matrix_world.translation) - place
    assert degrees(wanted, ahead) > 33 or degrees(gaze, wanted) < 0.02


def test_offsets_turn_the_generated_gaze_and_the_head(rig, scene):
    take_on(rig, scene)
    layer.add_layer(bpy.context, rig, weight=0.0)
    go_to(scene, 5)
    scale = rig.armature.matrix_world.to_quaternion()
    axes = np.array(scale.to_matrix()) @ rig.frame
    _, before, ahead = gaze_of(rig, "left_eye")
    set_to(rig, layer.EYES_UP, 8.0)
    _, raised, _ = gaze_of(rig, "left_eye")
    assert degrees(raised, before) == pytest.approx(8, abs=0.8)
    assert (raised - before) @ axes[:, 1] > 0
    set_to(rig, layer.EYES_UP, 0.0)
    set_to(rig, layer.EYES_LEFT, 8.0)
    assert (gaze_of(rig, "left_eye")[1] - before) @ axes[:, 0] > 0
    set_to(rig, layer.EYES_LEFT, 0.0)
    set_to(rig, layer.HEAD_LEFT, 15.0)
    _, _, turned = gaze_of(rig, "left_eye")
    assert degrees(turned, ahead) == pytest.approx(15, abs=1.5)
    assert (turned - ahead) @ axes[:, 0] > 0
    set_to(rig, layer.HEAD_LEFT, 0.0)
    set_to(rig, layer.HEAD_UP, 15.0)
    assert (gaze_of(rig, "left_eye")[2] - ahead) @ axes[:, 1] > 0


@plain
def test_the_weight_can_be_animated(rig, scene):
    take_on(rig, scene)
    target = layer.add_layer(bpy.context, rig)
    put(rig, target, 20, 0, 1)
    for frame, weight in ((1, 0.0), (10, 1.0)):
        rig.armature[layer.WEIGHT] = weight
        rig.armature.keyframe_insert(f'["{layer.WEIGHT}"]', frame=frame)
    bone = rig.armature.pose.bones[rig.bones["left_eye"]]
    for frame, weight in ((1, 0.0), (10, 1.0)):
        go_to(scene, frame)
        evaluated = rig.armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        found = evaluated.pose.bones[bone.name].constraints[layer.LOOK_AT].influence
        assert found == pytest.approx(weight, abs=1e-5)


def test_it_goes_away_without_a_trace(rig, scene):
    take_on(rig, scene)
    go_to(scene, 3)
    before, custom = file_dump(), dict(rig.armature.items()).keys()
    layer.add_layer(bpy.context, rig)
    assert layer.has_layer(rig)
    assert file_dump() != before
    layer.remove_layer(rig)
    assert file_dump() == before and dict(rig.armature.items()).keys() == custom
    assert not layer.has_layer(rig)
    assert not any(len(bone.constraints) for bone in rig.armature.pose.bones)


def test_it_stays_while_takes_come_and_go(rig, scene):
    never_animated = file_dump()
    layer.add_layer(bpy.context, rig)
    take = take_on(rig, scene)
    assert not any("constraint" in text for text in find_rig(rig.armature).report.warnings)
    write_gaze(rig, np.zeros((take.frames, 6)))
    assert layer.has_layer(rig)
    clear(rig)
    assert layer.has_layer(rig) and layer.target_constraint(rig).target is not None
    layer.remove_layer(rig)
    assert file_dump() == never_animated


@plain
def test_another_object_is_looked_at_and_stays(rig, scene):
    ball = bpy.data.objects.new("Ball", None)
    scene.collection.objects.link(ball)
    assert layer.add_layer(bpy.context, rig, ball) == ball
    other = bpy.data.objects.new("Other", None)
    scene.collection.objects.link(other)
    layer.add_layer(bpy.context, rig, other)
    assert layer.target_constraint(rig).target == other
    layer.remove_layer(rig)
    assert {"Ball", "Other"} <= {obj.name for obj in bpy.data.objects}


@plain
def test_a_target_on_the_head_itself_is_refused(rig, scene):
    before = file_dump()
    nose = bpy.data.objects.new("Nose", None)
    scene.collection.objects.link(nose)
    nose.parent, nose.parent_type, nose.parent_bone = rig.armature, "BONE", rig.bones["neck"]
    with pytest.raises(TalkingEyesError, match="chase"):
        layer.add_layer(bpy.context, rig, nose)
    bpy.data.objects.remove(nose)
    assert file_dump() == before


@plain
def test_a_copy_of_the_head_gets_a_helper_of_its_own(rig, scene):
    target = layer.add_layer(bpy.context, rig)
    copies = {obj: obj.copy() for obj in (rig.armature, rig.mesh)}
    for copy in copies.values():
        scene.collection.objects.link(copy)
    copies[rig.mesh].data = rig.mesh.data.copy()
    copies[rig.mesh].parent = copies[rig.armature]
    copies[rig.mesh].modifiers[0].object = copies[rig.armature]
    twin = find_rig(copies[rig.mesh])
    assert twin.armature != rig.armature and layer.helper_of(twin) is None
    layer.add_layer(bpy.context, twin, target)
    assert layer.helper_of(twin) != layer.helper_of(rig)
    layer.remove_layer(twin)
    assert layer.helper_of(rig) is not None and layer.target_constraint(rig).target == target


@plain
def test_a_deleted_helper_is_made_anew(rig, scene):
    layer.add_layer(bpy.context, rig)
    bpy.data.objects.remove(layer.helper_of(rig))
    assert layer.helper_of(rig) is None and layer.has_layer(rig)
    layer.add_layer(bpy.context, rig)
    assert layer.target_constraint(rig).target is not None


def test_no_cycle_is_built(rig, scene, capfd):
    take_on(rig, scene)
    layer.add_layer(bpy.context, rig)
    set_to(rig, layer.HEAD_SHARE, 0.5)
    go_to(scene, 4)
    out = "".join(capfd.readouterr())
    assert "cycle" not in out.lower()


def test_lids_follow_the_look(scene):
    rig = build_head(bpy.context, tiny_head(), "Ann")
    target = layer.add_layer(bpy.context, rig)
    values = []
    for up in (0, -25):
        put(rig, target, 0, up, 1)
        bpy.context.view_layer.update()
        depsgraph = bpy.context.evaluated_depsgraph_get()
        keys = rig.mesh.evaluated_get(depsgraph).data.shape_keys or rig.shape_keys.evaluated_get(depsgraph)
        values.append(keys.key_blocks["LidFollowLeft"].value)
    assert values == pytest.approx([0, 1], abs=0.06)
    assert np.isfinite(evaluated_vertices(rig.mesh)).all()
