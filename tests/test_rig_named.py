"""Faces with ARKit's keys or visemes, with and without bones, in one mesh and in several."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _named_rigs import arkit_shapes, named_face, standin, viseme_shapes  # noqa: E402
from _rigs import Z_UP, evaluated_vertices, file_dump, fresh_scene, go_to  # noqa: E402
from mathutils import Matrix  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head.arkit import EXPRESSIONS, INDEX, STANDIN  # noqa: E402
from talkingeyes_blender.head.landmarks import INNER_LIP_PAIRS  # noqa: E402
from talkingeyes_blender.head.skinning import pose_vertices  # noqa: E402
from talkingeyes_blender.motion import Motion  # noqa: E402
from talkingeyes_blender.rig.curves import clear, takes, write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.head_rig import Family  # noqa: E402
from talkingeyes_blender.rig.mapping_rows import change  # noqa: E402
from talkingeyes_blender.rig.retarget import motion_for_rig  # noqa: E402
from talkingeyes_blender.rig.vocabulary import ARKIT, match_arkit, match_visemes, vocabulary  # noqa: E402

SPELLINGS = {
    "ARKit": str,
    "Maya": lambda name: f"blendShape1.{name}",
    "short sides": lambda name: name.replace("Left", "_L").replace("Right", "_R"),
    "Character Creator": lambda name: f"A{ARKIT.index(name) + 1:02d}_" + "_".join(split(name)),
    "capital": lambda name: name[0].upper() + name[1:],
    "snake": lambda name: "_".join(split(name)).lower(),
    "MPFB's composer": lambda name: f"!ex-{name}",
}


def split(name: str) -> list[str]:
    return "".join(f" {c}" if c.isupper() else c for c in name).title().split()


def motion(frames: int = 12, **channels) -> Motion:
    """A motion of the stand-in at rest but for ``channels``, each (frames, width) or one row."""
    widths = {"expression": len(EXPRESSIONS), "jaw": 3, "head": 3, "eyes": 6, "blink": 2}
    values = {name: np.zeros((frames, width)) for name, width in widths.items()}
    for name, value in channels.items():
        values[name] = np.broadcast_to(value, (frames, widths[name]))
    return Motion(**values, seed=1, head_model=STANDIN)


def expression(**values: float) -> np.ndarray:
    row = np.zeros(len(EXPRESSIONS))
    for name, value in values.items():
        row[INDEX[name]] = value
    return row


def own(m: Motion, frame: int = 0) -> np.ndarray:
    pose = np.zeros((5, 3))
    pose[1], pose[2], pose[3:] = m.head[frame], m.jaw[frame], m.eyes[frame].reshape(2, 3)
    return pose_vertices(standin(), expression=m.expression[frame], pose=pose, lids=m.blink[frame]) @ Z_UP.T


def shown(scene, mesh, frame: float = 1) -> np.ndarray:
    go_to(scene, frame)
    return evaluated_vertices(mesh)


def write(scene, rig, m: Motion):
    return write_take(rig, motion_for_rig(rig, m), scene=scene, start_frame=1)


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_arkit_names_are_read_in_their_spellings(spelling):
    assert match_arkit(spelling(name) for name in ARKIT) == {name: spelling(name) for name in ARKIT}


def test_viseme_sets_are_told_apart():
    sets = {
        "vrm": (["A", "I", "U", "E", "O", "Blink", "Joy"], {"aa": "A", "I": "I", "U": "U", "E": "E", "O": "O"}),
        "vroid": ([f"Fcl_MTH_{v}" for v in ("A", "I", "U", "E", "O", "Up")] + ["Fcl_ALL_Fun"],
                  {v if v != "A" else "aa": f"Fcl_MTH_{v}" for v in "AIUEO"}),
        "vrm 1": (["aa", "ih", "ou", "ee", "oh"], {"aa": "aa", "I": "ih", "U": "ou", "E": "ee", "O": "oh"}),
        "blair": (["AI", "E", "O", "U", "MBP", "FV", "L", "WQ", "etc", "rest"],
                  {"sil": "rest", "PP": "MBP", "FF": "FV", "DD": "etc", "nn": "L", "aa": "AI", "E": "E", "O": "O",
                   "U": "U"}),
        "oculus": ([f"viseme_{v}" for v in ("sil", "PP", "aa", "I")],
                   {v: f"viseme_{v}" for v in ("sil", "PP", "aa", "I")}),
        "unity": (["vrc.v_aa", "vrc.v_ih", "vrc.v_ou"], {"aa": "vrc.v_aa", "I": "vrc.v_ih", "U": "vrc.v_ou"}),
        "mpfb": (["aa_02", "p_b_m_21", "f_v_18", "y_iy_ih_ix_06", "w_uw_07"],
                 {"PP": "p_b_m_21", "FF": "f_v_18", "aa": "aa_02", "I": "y_iy_ih_ix_06", "U": "w_uw_07"}),
    }  # fmt: skip
    for names, wanted in sets.values():
        assert match_visemes(names) == {f"viseme_{part}": name for part, name in wanted.items()}
        assert vocabulary(names) == "visemes"
    assert vocabulary(["Neutral", "Closed", "Wide"]) == vocabulary(["Smile", "jawOpen"]) == ""
    assert vocabulary([*ARKIT, "viseme_aa", "viseme_O", "viseme_E"]) == "arkit"


def test_52_keys_without_any_bone_move_as_the_standin_does(scene):
    mesh = named_face(arkit_shapes())
    rig = find_rig(mesh)
    assert rig.report.family is Family.ARKIT and len(rig.named_keys) == 52 and not rig.has_bones
    assert [gap.part for gap in rig.report.missing] == ["neck"]
    m = motion(
        jaw=np.radians([9, 0, 0]),
        expression=expression(mouthSmileLeft=0.7, browInnerUp=0.5, mouthClose=0.4),
        eyes=np.radians([[25, 0, 0, 25, 0, 0]]),
        blink=[[0.5, 0.0]],
    )
    before = file_dump()
    write(scene, rig, m)
    error = np.linalg.norm(shown(scene, mesh) - own(m), axis=1)
    # A shape goes straight where a bone goes round: 2 mm at the chin.
    assert error.max() < 0.0025, 1000 * error.max()
    # Shut lips over an open jaw are shut.
    shut = motion(jaw=np.radians([8, 0, 0]), expression=expression(mouthClose=0.8))
    write(scene, rig, shut)
    face = standin().landmarks["face"]
    gap = [np.linalg.norm(np.subtract(*v[face[INNER_LIP_PAIRS]].swapaxes(0, 1)), axis=1).mean()
           for v in (shown(scene, mesh), own(shut))]  # fmt: skip
    assert gap[0] < gap[1] + 0.0003
    assert clear(rig) == 1 or not takes(rig)
    scene.frame_set(1)
    assert file_dump() == before


def test_vroids_own_keys_shut_the_lids():
    from talkingeyes_blender.rig.named import named_keys

    names = [*(f"Fcl_MTH_{v}" for v in "AIUEO"), "Fcl_EYE_Close", "Fcl_EYE_Close_R", "Fcl_EYE_Close_L", "Fcl_EYE_Joy_L"]
    found = named_keys(names, "visemes", {})
    assert [found[part] for part in ("eyeBlinkLeft", "eyeBlinkRight")] == ["Fcl_EYE_Close_L", "Fcl_EYE_Close_R"]


def test_one_part_may_have_a_key_on_each_side(scene):
    shapes = dict(arkit_shapes())
    left = (standin().vertices[:, :1] > 0).astype(float)
    for part in ("browInnerUp", "cheekPuff"):
        shape = shapes.pop(part)
        shapes |= {f"{part}_L": shape * left, f"{part}_R": shape * (1 - left)}
    mesh = named_face(shapes)
    rig = find_rig(mesh)
    assert [gap.part for gap in rig.report.missing] == ["neck"]
    m = motion(expression=expression(browInnerUp=0.8, cheekPuff=0.6))
    write(scene, rig, m)
    assert np.linalg.norm(shown(scene, mesh) - own(m), axis=1).max() < 1e-4
    assert match_arkit(["cheekPuff_L", "jawOpen"]) == {"jawOpen": "jawOpen"}, "half a part is none"
    change(mesh, "browInnerUp", ignored=True)
    assert not any(part.startswith("browInnerUp") for part in find_rig(mesh).named_keys)


def test_a_jaw_open_that_moves_nothing_is_none(scene):
    still = dict(arkit_shapes()) | {"jawOpen": np.zeros_like(arkit_shapes()["jawOpen"])}
    rig = find_rig(named_face(still))
    assert rig.vocabulary == "arkit"
    assert [gap.loss for gap in rig.report.missing if gap.part == "jaw"] == [
        "The key 'jawOpen' moves nothing, so the mouth will not open."
    ]
    mesh = named_face(still | viseme_shapes(), name="Both")
    rig = find_rig(mesh)
    assert rig.vocabulary == "visemes" and not any(gap.part == "jaw" for gap in rig.report.missing)
    write(scene, rig, motion(jaw=np.radians([9, 0, 0])))
    assert np.linalg.norm(shown(scene, mesh) - standin().vertices @ Z_UP.T, axis=1).max() > 0.005
    assert find_rig(named_face(arkit_shapes() | viseme_shapes(), name="Whole")).vocabulary == "arkit"


def test_where_a_head_without_a_jaw_faces_is_told_by_skull_and_eyes():
    mesh = named_face(arkit_shapes(), joints=("root", "neck", "left_eye", "right_eye"))
    rig = find_rig(mesh)
    assert not rig.report.guessed and np.allclose(rig.frame, Z_UP)
    for turn in "ZX":
        turned = Matrix.Rotation(np.pi / 2, 4, turn)
        rig.armature.data.transform(turned)
        mesh.data.transform(turned, shape_keys=True)
        if turn == "X":  # lies on its back in its own frame, but stands in the world, as what FBX brings does
            rig.armature.matrix_world = turned.inverted() @ rig.armature.matrix_world
            bpy.context.view_layer.update()
        again = find_rig(mesh)
        assert not any(guess.part == "front" for guess in again.report.guessed)
        world = np.array(rig.armature.matrix_world.to_3x3()) @ again.frame[:, 2]
        assert np.allclose(world, (1, 0, 0), atol=1e-3), (turn, world)


def test_a_body_that_lies_down_does_not_mislead():
    mesh = named_face(arkit_shapes(), joints=("root", "neck", "left_eye", "right_eye"))
    armature = find_rig(mesh).armature
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    root = armature.data.edit_bones[find_rig(mesh).bones["root"]]
    root.head.z -= 1.0
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.matrix_world = Matrix.Rotation(np.pi / 2, 4, "X") @ armature.matrix_world
    bpy.context.view_layer.update()
    rig = find_rig(mesh)
    assert not any(guess.part == "front" for guess in rig.report.guessed) and np.allclose(rig.frame, Z_UP)


def test_eye_and_head_bones_take_their_parts(scene):
    bones = {"neck": "Head", "root": "Hips"}
    mesh = named_face(arkit_shapes(), joints=("root", "neck", "left_eye", "right_eye"), bone_names=bones)
    rig = find_rig(mesh)
    assert {left.part for left in rig.report.ignored} == {name for name in ARKIT if name.startswith("eyeLook")}
    assert not rig.report.missing
    m = motion(head=np.radians([0, 20, 0]), eyes=np.radians([[0, 15, 0, 0, 15, 0]]), jaw=np.radians([11, 0, 0]))
    write(scene, rig, m)
    assert np.linalg.norm(shown(scene, mesh) - own(m), axis=1).max() < 0.0025
    take = write_gaze(rig, np.zeros((12, 6)))
    assert take.frames == 12
    assert np.linalg.norm(shown(scene, mesh) - own(m.replace(eyes=np.zeros((12, 6)))), axis=1).max() < 0.0025


def test_jaw_bone_beside_jaw_keys_moves_only_when_asked(scene):
    mesh = named_face(arkit_shapes(), joints=("root", "neck", "jaw"))
    rig = find_rig(mesh)
    assert "jaw" not in rig.bones and "opens the mouth" in str(rig.report.ignored[0])
    m = motion(jaw=np.radians([11, 0, 0]))
    write(scene, rig, m)
    keyed = shown(scene, mesh)
    rig.armature["talkingeyes_map"] = '{"ignored": {"jaw": false}}'
    rig = find_rig(mesh)
    assert rig.bones["jaw"] == "jaw" and "jawOpen" not in rig.named_keys
    write(scene, rig, m)
    turned = shown(scene, mesh)
    assert np.linalg.norm(turned - own(m), axis=1).max() < 0.0025  # its skin has no correctives
    assert np.linalg.norm(turned - keyed, axis=1).max() < 0.004


def test_teeth_and_lashes_in_meshes_of_their_own_go_along(scene):
    mesh = named_face(arkit_shapes(), apart=["teeth", "lash"])
    teeth, lashes = bpy.data.objects["Face teeth"], bpy.data.objects["Face lash"]
    rig = find_rig(teeth)
    assert rig.mesh == mesh and {part.mesh for part in rig.more} == {teeth, lashes}
    before = file_dump()
    write(scene, rig, motion(jaw=np.radians([11, 0, 0]), blink=[[1.0, 1.0]]))
    rest = np.array([v.co for v in teeth.data.vertices])
    assert np.linalg.norm(shown(scene, teeth) - rest, axis=1).max() > 0.005
    assert lashes.data.shape_keys.key_blocks["eyeBlinkLeft"].value == 1
    assert clear(rig) == 1
    scene.frame_set(1)
    assert file_dump() == before


def test_visemes_open_and_shut_the_mouth(scene):
    mesh = named_face(viseme_shapes() | {"Blink_L": arkit_shapes()["eyeBlinkLeft"]})
    rig = find_rig(mesh)
    assert rig.report.family is Family.VISEMES
    face = standin().landmarks["face"]

    def gap(m: Motion, at) -> float:
        points = at[face[INNER_LIP_PAIRS]]
        return float((points[:, 0] - points[:, 1])[:, 2].mean())

    vowel = motion(jaw=np.radians([12, 0, 0]), expression=expression(mouthLowerDownLeft=0.4, mouthLowerDownRight=0.4))
    write(scene, rig, vowel)
    opened = gap(vowel, shown(scene, mesh))
    assert opened == pytest.approx(gap(vowel, own(vowel)), rel=0.2)
    shut = motion(jaw=np.radians([8, 0, 0]), expression=expression(mouthClose=0.8))
    write(scene, rig, shut)
    assert gap(shut, shown(scene, mesh)) < 0.001
    assert rig.shape_keys.key_blocks["viseme_PP"].value > 0.9
    # A pucker is an U, not an open mouth.
    write(scene, rig, motion(jaw=np.radians([3, 0, 0]), expression=expression(mouthPucker=1.0)))
    scene.frame_set(1)
    values = {key.name: key.value for key in rig.shape_keys.key_blocks[1:]}
    assert max(values, key=values.get) == "viseme_U", values


def test_jaw_bone_takes_the_opening_where_visemes_are_of_the_lips(scene):
    mesh = named_face(viseme_shapes(opening=False), joints=("root", "neck", "jaw", "left_eye", "right_eye"))
    rig = find_rig(mesh)
    assert rig.bones["jaw"] == "jaw"
    vowel = motion(jaw=np.radians([12, 0, 0]), expression=expression(mouthLowerDownLeft=0.5, mouthLowerDownRight=0.5))
    write(scene, rig, vowel)
    assert np.linalg.norm(shown(scene, mesh) - own(vowel), axis=1).max() < 0.004
    shut = motion(jaw=np.radians([8, 0, 0]), expression=expression(mouthClose=0.8))
    write(scene, rig, shut)
    scene.frame_set(1)
    assert rig.armature.pose.bones["jaw"].matrix_basis.to_quaternion().angle < np.radians(0.5)
    # The same with visemes that open by themselves: the bone adds nothing.
    fresh_scene()
    mesh = named_face(viseme_shapes(), joints=("root", "neck", "jaw"))
    rig = find_rig(mesh)
    bpy.context.scene.render.fps = 25
    write(bpy.context.scene, rig, vowel)
    bpy.context.scene.frame_set(1)
    assert rig.armature.pose.bones["jaw"].matrix_basis.to_quaternion().angle < np.radians(4)


def test_two_faces_in_one_scene_keep_to_themselves(scene):
    first, second = named_face(arkit_shapes(), name="One"), named_face(viseme_shapes(), name="Two")
    write(scene, find_rig(first), motion(jaw=np.radians([11, 0, 0])))
    assert not takes(find_rig(second)) and len(takes(find_rig(first))) == 1


def test_mesh_with_no_known_keys_is_still_refused(scene):
    mesh = named_face({"Smile": arkit_shapes()["mouthSmileLeft"]})
    with pytest.raises(TalkingEyesError, match="no armature"):
        find_rig(mesh)
