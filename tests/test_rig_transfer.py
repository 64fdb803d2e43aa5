"""Expressions carried over to a rig: what its landmarks do is what the source's landmarks do."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _heads import tiny_head  # noqa: E402
from _rigs import foreign_rig, random_motion  # noqa: E402

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head import arkit  # noqa: E402
from talkingeyes_blender.head.landmarks import eye_aspect_ratio  # noqa: E402
from talkingeyes_blender.head.model import basis_identity  # noqa: E402
from talkingeyes_blender.head.standin import STANDIN_FILE, load_standin  # noqa: E402
from talkingeyes_blender.head.transfer import LandmarkBasis, solve_transfer  # noqa: E402
from talkingeyes_blender.head.transfer_report import Grade  # noqa: E402
from talkingeyes_blender.rig import retarget  # noqa: E402
from talkingeyes_blender.rig.blinks import blink_expressions  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.find import find_rig  # noqa: E402
from talkingeyes_blender.rig.head_rig import LANDMARKS_PROPERTY  # noqa: E402
from talkingeyes_blender.rig.landmark_basis import landmark_basis  # noqa: E402

pytestmark = pytest.mark.usefixtures("scene")

needs_standin = pytest.mark.skipif(not STANDIN_FILE.is_file(), reason="the stand-in has not been built")
Y_UP = np.eye(3)


def with_landmarks(mesh, head) -> None:
    """Store a head's landmarks with a foreign mesh."""
    mesh.data[LANDMARKS_PROPERTY] = json.dumps({"face": head.landmarks["face"].tolist()})


@pytest.mark.parametrize("axes", [None, Y_UP], ids=["ours", "foreign y-up"])
def test_rig_has_the_basis_of_its_head(axes):
    head = tiny_head()
    if axes is None:
        rig = build_head(bpy.context, head)
    else:
        mesh = foreign_rig(head, axes, twisted=True)
        with_landmarks(mesh, head)
        rig = find_rig(mesh)
    read, expected = landmark_basis(rig), LandmarkBasis.from_head(head)
    assert np.abs(read.points - expected.points).max() < 1e-6
    assert np.abs(read.displacements - expected.displacements).max() < 1e-6
    for name in ("share", "joint", "correctives"):
        assert np.abs(getattr(read.jaw, name) - getattr(expected.jaw, name)).max() < 1e-6, name


def test_own_motions_stay_as_they_are():
    head = tiny_head()
    rig = build_head(bpy.context, head)
    motion = random_motion(head, 4)
    assert retarget.motion_for_rig(rig, motion) is motion


@needs_standin
def test_stand_in_motion_is_carried_over_once(scene, monkeypatch):
    head = tiny_head()
    rig = build_head(bpy.context, head)
    source = load_standin()
    motion = random_motion(source, 6, expression=np.random.default_rng(0).uniform(0, 1, (6, source.expressions)))
    solved = []
    real = retarget.solve_transfer
    monkeypatch.setattr(retarget, "solve_transfer", lambda *a: solved.append(a) or real(*a))
    retarget._solved.clear()
    carried = [retarget.motion_for_rig(rig, motion) for _ in range(3)]
    assert len(solved) == 1
    expected = solve_transfer(LandmarkBasis.from_head(source), LandmarkBasis.from_head(head))
    expected = expected.apply(motion.expression, motion.jaw)
    assert np.abs(carried[0].expression - expected).max() < 5e-3
    assert carried[2].head_model == head.identity and carried[2].expression.shape == (6, 8)
    for name in ("jaw", "head", "eyes", "blink"):
        assert np.array_equal(getattr(carried[0], name), getattr(motion, name))
    write_take(rig, carried[0], scene=scene, start_frame=1)


@needs_standin
def test_the_same_face_under_another_name_does_the_same():
    source = load_standin()
    order = np.random.default_rng(1).permutation(source.expressions)
    basis = np.ascontiguousarray(source.expression_basis[:, :, order])
    other = dataclasses.replace(source, expression_basis=basis, identity=basis_identity(basis), expression_names=())
    rig = build_head(bpy.context, other)
    face = source.landmarks["face"]
    # Whatever landmarks can see of an expression has to come out; a tongue cannot be seen.
    for name, least in (("mouthFunnel", 0.9), ("mouthSmileLeft", 0.85), ("browInnerUp", 0.6), ("mouthClose", 0.85)):
        expression = np.zeros((1, source.expressions))
        expression[0, arkit.INDEX[name]] = 1
        motion = random_motion(source, 1, expression=expression)
        carried = retarget.motion_for_rig(rig, motion).expression[0]
        wanted = source.expression_basis[face][:, :, arkit.INDEX[name]]
        made = basis[face] @ carried
        assert np.linalg.norm(made - wanted) < (1 - least) * np.linalg.norm(wanted), name


@needs_standin
def test_a_rig_reports_what_it_cannot_make():
    source = load_standin()
    kept = [float(name.startswith(("eye", "brow", "mouthClose", "mouthSmile"))) for name in arkit.EXPRESSIONS]
    basis = (source.expression_basis * kept).astype(np.float32)
    other = dataclasses.replace(source, expression_basis=basis, identity=basis_identity(basis), expression_names=())
    report = retarget.report_for_rig(build_head(bpy.context, other))
    assert any(said.startswith("this head cannot pucker: ") for said in report.sentences(20))
    assert {shape.name for shape in report.of(Grade.HARDLY)} >= {"mouthPucker"} and len(report.shapes) == 41
    assert retarget.report_for_rig(build_head(bpy.context, source)) is None, "its own expressions"
    assert retarget.report_for_rig(find_rig(foreign_rig(tiny_head(expressions=0)))) is None


def test_few_transfers_are_kept(monkeypatch):
    monkeypatch.setattr(retarget, "_KEPT", 2)
    retarget._solved.clear()
    rigs = [build_head(bpy.context, tiny_head(seed=seed), f"Head {seed}") for seed in range(3)]
    transfers = [retarget.transfer_to_rig(rig, arkit.STANDIN) for rig in rigs]
    assert len(retarget._solved) == 2
    assert retarget.transfer_to_rig(rigs[2], arkit.STANDIN) is transfers[2]
    assert retarget.transfer_to_rig(rigs[0], arkit.STANDIN) is not transfers[0]


def test_motion_of_another_head_in_the_file_is_carried_over():
    first, second = tiny_head(seed=0), tiny_head(expressions=12, seed=0)
    build_head(bpy.context, first, "First")
    rig = build_head(bpy.context, second, "Second")
    motion = random_motion(first, 3)
    carried = retarget.motion_for_rig(rig, motion)
    assert carried.expression.shape == (3, 12) and carried.head_model == second.identity
    with pytest.raises(TalkingEyesError, match="belong to the head model 'unknown'") as caught:
        retarget.motion_for_rig(rig, motion.replace(head_model="unknown"))
    assert "talkingeyes_head_model" in caught.value.hint
    with pytest.raises(TalkingEyesError, match="has 8"):
        retarget.motion_for_rig(rig, motion.replace(expression=np.zeros((3, 5))))


def test_rigs_without_keys_or_landmarks_get_the_rest(scene):
    head = tiny_head()
    for rig in (find_rig(foreign_rig(head)), find_rig(foreign_rig(tiny_head(expressions=0)))):
        assert rig.report.warnings
        motion = retarget.motion_for_rig(rig, random_motion(head, 4, head_model=arkit.STANDIN))
        assert motion.expression.shape == (4, 0)
        take = write_take(rig, motion, scene=scene, start_frame=1)
        assert set(rig.report.warnings) <= set(take.warnings)
        scene.frame_set(3)
        bone = rig.armature.pose.bones["jaw"]
        assert np.degrees(bone.matrix_basis.to_quaternion().angle) == pytest.approx(
            np.degrees(np.linalg.norm(motion.jaw[2])), abs=0.01
        )


@needs_standin
def test_where_there_are_no_expressions_the_jaw_alone_shuts_the_lips():
    rig = find_rig(foreign_rig(tiny_head(expressions=0)))
    degrees = np.array([0.0, 6.0, 6.0, 14.0])
    jaw = np.radians(degrees)[:, None] * [1, 0, 0]
    motion = random_motion(load_standin(), 4, expression=np.zeros((4, 41)), jaw=jaw)
    motion.expression[1, arkit.INDEX["mouthClose"]] = degrees[1] / arkit.MOUTH_CLOSE_JAW_DEGREES
    motion.expression[3, arkit.INDEX["mouthClose"]] = 0.5 * degrees[3] / arkit.MOUTH_CLOSE_JAW_DEGREES
    turned = np.degrees(retarget.motion_for_rig(rig, motion).jaw)
    assert turned[:3, 0] == pytest.approx([0, 0, 6], abs=0.05) and np.abs(turned[:, 1:]).max() == 0
    assert 4 < turned[3, 0] < 10
    # The jaw's other turns go by as much as it opens.
    motion.jaw[:, 1] = 0.1
    turned = retarget.motion_for_rig(rig, motion).jaw
    assert turned[:3, 1] == pytest.approx([0, 0, 0.1], abs=1e-3)


def test_a_face_of_another_maker_is_told_what_to_get(scene):
    mesh = foreign_rig(tiny_head(expressions=0))
    mended = {str(part): part.mend for part in find_rig(mesh).report.missing}
    assert "ARKit's names or visemes" in mended["expression keys"] and "Rig Mapping" in mended["lid keys"]
    # MPFB's units of expression shut the eyes by these names.
    mesh.shape_key_add(name="Basis")
    for name in ("eye-left-closure", "eye-right-closure"):
        mesh.shape_key_add(name=name)
    assert find_rig(mesh).blink_keys == ("eye-left-closure", "eye-right-closure")


@needs_standin
def test_a_rig_without_lid_keys_blinks_by_its_expressions(scene):
    head = dataclasses.replace(load_standin(), lids=None, lid_follow=None)
    rig = build_head(bpy.context, head)
    assert rig.blink_keys == (None, None)
    solved = blink_expressions(rig)
    open_ = np.array(eye_aspect_ratio(head.vertices, head.landmarks))
    for side in (0, 1):
        shut = np.array(eye_aspect_ratio(head.vertices + head.expression_basis @ solved[:, side], head.landmarks))
        assert shut[side] < 0.15 * open_[side]
        assert shut[1 - side] > 0.8 * open_[1 - side]
    assert np.abs(solved).max() < 1.5
    blink = np.zeros((3, 2))
    blink[1] = 1
    motion = random_motion(head, 3, expression=np.zeros((3, head.expressions)), blink=blink)
    take = write_take(rig, motion, scene=scene, start_frame=1)
    assert not any("blink" in text for text in take.warnings)
    scene.frame_set(2)
    values = [rig.shape_keys.key_blocks[f"Exp{i + 1}"].value for i in range(head.expressions)]
    assert np.allclose(values, solved.sum(1), atol=1e-5)


def test_a_rig_that_cannot_blink_says_so(scene):
    head = dataclasses.replace(tiny_head(), lids=None, lid_follow=None)
    still = head.expression_basis.copy()
    still[head.landmarks["face"]] = 0
    head = dataclasses.replace(head, expression_basis=still)
    rig = build_head(bpy.context, head)
    assert blink_expressions(rig) is None
    take = write_take(rig, random_motion(head, 3), scene=scene, start_frame=1)
    assert any("will not blink" in text for text in take.warnings)
