"""The bundled stand-in head: that its file is what its code makes, and that its face does what its names say."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from talkingeyes_blender.head import landmarks
from talkingeyes_blender.head.arkit import EXPRESSIONS, INDEX, MOUTH_CLOSE_JAW_DEGREES, STANDIN
from talkingeyes_blender.head.lids import penetration
from talkingeyes_blender.head.model import JAW, LEFT_EYE, RIGHT_EYE
from talkingeyes_blender.head.skinning import pose_vertices
from talkingeyes_blender.head.standin import STANDIN_FILE, load_standin

MILLIMETRE = 1e-3
FLAME_JOINTS = np.array([
    (0, -0.146, -0.082), (0, -0.009, -0.054), (0, -0.016, -0.058), (0.0317, 0.0229, 0.0244), (-0.0317, 0.0229, 0.0244),
])  # fmt: skip
"""Joints of FLAME 2023 Open, made symmetric, metres."""


@pytest.fixture(scope="module")
def head():
    return load_standin()


def posed(head, jaw=0.0, lids=None, follow=None, eyes=(0.0, 0.0), shape=None, **shapes):
    """(V, 3) metres; ``jaw`` in degrees, ``eyes`` degrees down and to the left."""
    expression = np.zeros(head.expressions)
    for name, value in shapes.items():
        expression[INDEX[name]] = value
    pose = np.zeros((5, 3))
    pose[JAW, 0] = np.radians(jaw)
    pose[LEFT_EYE:, :2] = np.radians(eyes)
    return pose_vertices(head, shape=shape, expression=expression, pose=pose, lids=lids, lid_follow=follow)


def face_points(head, vertices):
    return vertices[head.landmarks["face"]]


def assert_same(stored, fresh, key):
    assert stored.shape == fresh.shape and stored.dtype == fresh.dtype, key
    if stored.dtype.kind in "iUb":
        assert (stored == fresh).all(), key
    else:  # linear algebra differs in its last digits from machine to machine
        assert np.abs(stored.astype(float) - fresh.astype(float)).max() < 2e-5, key


def test_the_file_is_what_the_code_makes():
    from talkingeyes_blender.head.standin_build import build

    made = build(with_identity=False)
    with np.load(STANDIN_FILE) as file:
        stored = dict(file)
    assert set(stored) == set(made)
    identity = int(stored["shape_count"])
    for key in set(made) - {"shape_count", "shape_names"}:
        assert_same(stored[key][:, :, identity:] if key == "shapedirs" else stored[key], made[key], key)
    assert STANDIN_FILE.stat().st_size < 3_000_000


@pytest.mark.slow
def test_the_identity_shapes_are_what_the_code_makes():
    from talkingeyes_blender.head.standin_build import build

    made = build()
    with np.load(STANDIN_FILE) as file:
        for key in ("shape_count", "shape_names", "shapedirs"):
            assert_same(file[key], made[key], key)


def test_identity_shapes_change_the_head_and_keep_it_whole(head):
    assert head.shape_basis.shape[2] == len(head.shape_names) >= 12
    reach = np.linalg.norm(head.shape_basis, axis=1).max(0)
    assert (reach > 1.5 * MILLIMETRE).all() and (reach < 20 * MILLIMETRE).all()
    eyeballs = head.weights[:, LEFT_EYE:].sum(1) > 0
    for i, name in enumerate(head.shape_names):
        shape = np.eye(len(head.shape_names))[i]
        vertices = pose_vertices(head, shape=shape)
        assert landmarks.lip_gap(vertices, head.landmarks) < 0.05 * MILLIMETRE, name
        assert (head.shape_basis[eyeballs, :, i] == 0).all(), name
        for sign in (1, -1):
            for blink in (0.5, 1.0):
                lids = pose_vertices(head, shape=sign * shape, lids=np.full(2, blink))
                assert max(penetration(head, lids, joint) for joint in (LEFT_EYE, RIGHT_EYE)) < 0, name
            assert max(landmarks.eye_aspect_ratio(lids, head.landmarks)) < 0.05, name
            closed = posed(head, jaw=MOUTH_CLOSE_JAW_DEGREES, shape=sign * shape, mouthClose=1.0)
            assert landmarks.lip_gap(closed, head.landmarks) < 0.5 * MILLIMETRE, name


def test_joints_are_flames_and_follow_the_mesh(head):
    assert np.abs(head.joints - FLAME_JOINTS).max() < 1 * MILLIMETRE
    assert np.allclose(head.joint_regressor.sum(1), 1)
    moved = head.vertices.copy()
    moved[head.weights[:, LEFT_EYE] > 0.5] += (0.001, 0.002, 0.003)
    shift = head.joint_regressor @ moved - head.joints
    assert np.allclose(shift[LEFT_EYE], (0.001, 0.002, 0.003)) and np.allclose(shift[:LEFT_EYE], 0)


def test_weights_and_correctives(head):
    assert np.allclose(head.weights.sum(1), 1) and head.weights.min() >= 0
    assert (head.pose_basis[:, :, 18:] == 0).all(), "eyes have no pose correctives"
    assert np.abs(head.pose_basis[:, :, 9:18]).max() > 0.001
    eyeballs = head.weights[:, LEFT_EYE:].sum(1) > 0
    assert (head.weights[eyeballs, LEFT_EYE:].sum(1) == 1).all()


def test_expressions_are_named_finite_and_move_the_face(head):
    assert head.identity == STANDIN and head.expression_names == EXPRESSIONS
    assert head.expression_basis.shape == (len(head.vertices), 3, 41)
    for basis in (head.expression_basis, head.lids, head.lid_follow, head.pose_basis, head.vertices):
        assert np.isfinite(basis).all()
    reach = np.linalg.norm(head.expression_basis, axis=1).max(0)
    assert (reach > 1.5 * MILLIMETRE).all() and (reach < 40 * MILLIMETRE).all()
    eyeballs = head.weights[:, LEFT_EYE:].sum(1) > 0
    assert (head.expression_basis[eyeballs] == 0).all()


RIGHT_CORNER, LEFT_CORNER = landmarks.MOUTH_CORNERS[:2]
UPPER_LIP, LOWER_LIP = landmarks.OUTER_LIP[3], landmarks.OUTER_LIP[9]
LEFT_INNER_BROW, LEFT_OUTER_BROW = landmarks.LEFT_BROW[0], landmarks.LEFT_BROW[3]
X, Y, Z = 0, 1, 2
MEANINGS = [  # shape, landmark, axis, least displacement in mm (negative: at most)
    ("mouthSmileLeft", LEFT_CORNER, Y, 4), ("mouthSmileLeft", LEFT_CORNER, X, 4),
    ("mouthFrownLeft", LEFT_CORNER, Y, -4), ("mouthDimpleLeft", LEFT_CORNER, Z, -2),
    ("mouthStretchLeft", LEFT_CORNER, X, 4),
    ("mouthPucker", LEFT_CORNER, X, -8), ("mouthPucker", UPPER_LIP, Z, 4),
    ("mouthFunnel", LEFT_CORNER, X, -5), ("mouthFunnel", UPPER_LIP, Y, 2), ("mouthFunnel", LOWER_LIP, Y, -2),
    ("mouthLeft", UPPER_LIP, X, 4), ("mouthRight", UPPER_LIP, X, -4),
    ("mouthRollLower", LOWER_LIP, Y, 2), ("mouthRollUpper", UPPER_LIP, Y, -2),
    ("mouthShrugLower", LOWER_LIP, Y, 1), ("mouthShrugUpper", UPPER_LIP, Y, 1),
    ("mouthLowerDownLeft", LOWER_LIP, Y, -1.5), ("mouthUpperUpLeft", UPPER_LIP, Y, 1.5),
    ("browDownLeft", LEFT_INNER_BROW, Y, -3), ("browInnerUp", LEFT_INNER_BROW, Y, 3.5),
    ("browOuterUpLeft", LEFT_OUTER_BROW, Y, 3.5),
    ("noseSneerLeft", landmarks.NOSE[8], Y, 1), ("jawForward", LOWER_LIP, Z, 4),
]  # fmt: skip


@pytest.mark.parametrize(("name", "landmark", "axis", "least"), MEANINGS)
def test_a_shape_does_what_its_name_says(head, name, landmark, axis, least):
    move = head.expression_basis[head.landmarks["face"][landmark], axis, INDEX[name]] / MILLIMETRE
    assert move * np.sign(least) >= abs(least)
    if name.endswith("Left") and name != "mouthLeft" and landmark not in (UPPER_LIP, LOWER_LIP):
        other = name.removesuffix("Left") + "Right"
        still = head.expression_basis[head.landmarks["face"][landmark], :, INDEX[other]] / MILLIMETRE
        assert np.linalg.norm(still) < 0.5 * abs(least), f"{other} moves the left side"


def test_left_and_right_are_mirror_images(head):
    mirror = np.array([-1.0, 1, 1])
    pairs = [(name, name.removesuffix("Left") + "Right") for name in EXPRESSIONS if name.endswith("Left")]
    pairs += [(name, name) for name in EXPRESSIONS if not name.endswith(("Left", "Right"))]
    for left, right in pairs:
        here, there = head.expression_basis[:, :, INDEX[left]], head.expression_basis[:, :, INDEX[right]]
        a, b = (np.flatnonzero(np.abs(basis).max(1) > 1e-4) for basis in (here, there))
        assert abs(len(a) - len(b)) <= 0.002 * len(a)
        a, b = a[::5], np.flatnonzero(np.abs(there).max(1) > 0.5e-4)
        # Upper and lower lip touch, so that place alone does not say which vertex is the image of which.
        wanted = np.concatenate([head.vertices[a] * mirror, here[a] * mirror], 1)
        offered = np.concatenate([head.vertices[b], there[b]], 1)
        squared = (wanted**2).sum(1)[:, None] + (offered**2).sum(1)[None] - 2 * wanted @ offered.T
        nearest = squared.argmin(1)
        assert np.abs(wanted - offered[nearest]).max() < 0.02 * MILLIMETRE, left


def test_landmarks_are_in_ibugs_order(head):
    points = face_points(head, head.vertices)
    assert len(points) == landmarks.COUNT and len(set(head.landmarks["face"].tolist())) == landmarks.COUNT
    x, y = points[:, 0], points[:, 1]
    assert (np.diff(x[:10]) > 0).all() and x[4] < 0 < x[5], "brows run from the subject's right to the left"
    assert (np.diff(y[landmarks.NOSE[:4]]) < 0).all() and (np.diff(x[landmarks.NOSE[4:]]) > 0).all()
    for eye, (upper, lower) in (("right", ((20, 21), (24, 23))), ("left", ((26, 27), (30, 29)))):
        corners = landmarks.EYE_CORNERS[eye]
        assert x[corners[0]] < x[upper[0]] < x[upper[1]] < x[corners[1]]
        assert (y[list(upper)] > y[list(lower)] + 0.005).all()
    outer = landmarks.OUTER_LIP
    assert (np.diff(x[outer[:7]]) > 0).all() and (np.diff(x[outer[6:]]) < 0).all() and y[outer[3]] > y[outer[9]]
    mirrored = points[[*range(9, -1, -1), 10, 11, 12, 13, 18, 17, 16, 15, 14]] * [-1, 1, 1]
    assert np.abs(mirrored - points[:19]).max() < 0.01 * MILLIMETRE
    pupils = head.vertices[head.landmarks["pupils"]] - head.joints[LEFT_EYE:]
    assert np.allclose(pupils[:, :2], 0, atol=1e-4) and (pupils[:, 2] > 0.012).all()


def test_lips_touch_at_rest_and_part_with_the_jaw(head):
    assert landmarks.lip_gap(head.vertices, head.landmarks) < 1e-5
    gaps = [landmarks.lip_gap(posed(head, jaw=angle), head.landmarks) / MILLIMETRE for angle in (0, 2, 5, 10, 18)]
    assert (np.diff(gaps) > 1).all() and gaps[-1] > 20


SEALED = [name for name in EXPRESSIONS if name.startswith(("mouth", "cheek", "nose")) and not name.startswith(
    ("mouthClose", "mouthFunnel", "mouthLowerDown", "mouthUpperUp"))]  # fmt: skip


@pytest.mark.parametrize("name", SEALED)
def test_shapes_that_do_not_open_the_mouth_keep_it_shut(head, name):
    pairs = head.landmarks["face"][landmarks.INNER_LIP_PAIRS]
    for value in (0.5, 1.0):
        points = posed(head, **{name: value})[pairs]
        assert np.abs(points[:, 0] - points[:, 1]).max() < 0.02 * MILLIMETRE


def test_mouth_close_shuts_the_lips_on_an_open_jaw(head):
    pairs = head.landmarks["face"][landmarks.INNER_LIP_PAIRS]
    for share, allowed in ((0.25, 0.7), (0.5, 0.7), (0.75, 0.7), (1.0, 0.1)):
        points = posed(head, jaw=share * MOUTH_CLOSE_JAW_DEGREES, mouthClose=share)[pairs]
        gap = np.linalg.norm(points[:, 0] - points[:, 1], axis=1) / MILLIMETRE
        assert gap.max() < allowed, f"{gap.max():.2f} mm at {share}"


def test_lips_stay_shut_when_shapes_add_up(head):
    pairs = head.landmarks["face"][landmarks.INNER_LIP_PAIRS]
    for extra in (pair("mouthPress"), pair("mouthSmile"), pair("mouthFrown"), {"mouthPucker": 0.6}, {"cheekPuff": 1.0}):
        points = posed(head, jaw=MOUTH_CLOSE_JAW_DEGREES, mouthClose=1.0, **extra)[pairs]
        gap = np.abs(points[:, 0] - points[:, 1]).max() / MILLIMETRE
        assert gap < 1.0, f"{extra}: {gap:.2f} mm"


def test_blink_shuts_the_eyes(head):
    ratios = [landmarks.eye_aspect_ratio(posed(head, lids=(b, b)), head.landmarks) for b in np.linspace(0, 1, 9)]
    ratios = np.array(ratios)
    assert (ratios[0] > 0.3).all() and (ratios[0] < 0.55).all()
    assert (np.diff(ratios, axis=0) < 0).all() and (ratios[-1] < 0.05).all()
    left, right = landmarks.eye_aspect_ratio(posed(head, lids=(1, 0)), head.landmarks)
    assert left < 0.05 and right == pytest.approx(ratios[0, 1])
    assert np.allclose(head.expression_basis[:, :, INDEX["eyeBlinkLeft"]], head.lids[:, :, 0], atol=1e-6)
    assert np.allclose(head.expression_basis[:, :, INDEX["eyeBlinkRight"]], head.lids[:, :, 1], atol=1e-6)


def test_no_lid_goes_through_an_eyeball(head):
    cases = {f"blink {b:.2f}": {"lids": (b, b)} for b in np.linspace(0, 1, 11)}
    cases |= {f"follow {f:.1f}": {"follow": (f, f)} for f in np.linspace(-0.8, 1.4, 12)}
    for b in (0.3, 0.6):
        cases |= {f"blink {b} follow {f}": {"lids": (b, b), "follow": ((1 - b) * f,) * 2} for f in (-0.8, 0.7, 1.4)}
    cases |= {
        n: {n + "Left": 1.0, n + "Right": 1.0}
        for n in ("eyeWide", "eyeSquint", "cheekSquint", "mouthSmile", "browDown")
    }
    for label, case in cases.items():
        for joint in (LEFT_EYE, RIGHT_EYE):
            depth = penetration(head, posed(head, **case), joint) / MILLIMETRE
            assert depth < 0, f"{label}: {depth:.2f} mm"


def test_lids_follow_the_gaze(head):
    """At 25 degrees down the upper lid still covers the top of the iris and the pupil is seen; up, it makes way."""
    margin = head.landmarks["left_lids"]
    rest = head.vertices[margin, 1]
    for value, eyes_down in ((1.0, 25.0), (-0.8, -20.0)):
        vertices = posed(head, follow=(value, value), eyes=(eyes_down, 0.0))
        pupil = vertices[head.landmarks["pupils"][0]]
        top, bottom = vertices[margin, 1].max(), vertices[margin, 1].min()
        assert bottom + 0.001 < pupil[1] < top - 0.001
        assert (top - rest.max()) * value < -0.002
        assert abs(bottom - rest.min()) < 0.6 * abs(top - rest.max())


def test_the_skin_is_closed_but_for_shoulders_and_lids(head):
    edges, directed = Counter(), Counter()
    for corners in head.faces:
        corners = corners[corners >= 0]
        for a, b in zip(corners, np.roll(corners, -1), strict=True):
            edges[min(a, b), max(a, b)] += 1
            directed[a, b] += 1
    assert max(edges.values()) == 2, "no edge has three faces"
    assert max(directed.values()) == 1, "neighbouring faces wind the same way"
    assert len({int(v) for v in head.faces.ravel() if v >= 0}) == len(head.vertices), "no stray vertices"
    skin = head.face_material == [m.name for m in head.materials].index("skin")
    border = np.array([edge for edge, count in edges.items() if count == 1])
    border = border[np.isin(border, head.faces[skin]).all(1)]
    low = head.vertices[border, 1].max(1) < -0.15
    eye = (
        np.linalg.norm(head.vertices[border][:, :, None] - head.joints[None, None, LEFT_EYE:], axis=-1).min((1, 2))
        < 0.03
    )
    assert (low | eye).all()


def test_faces_look_outwards(head):
    a, b, c = (head.vertices[head.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    centre = (a + b + c) / 3
    names = [m.name for m in head.materials]
    forehead = (head.face_material == names.index("skin")) & (centre[:, 1] > 0.055) & (centre[:, 2] > 0.03)
    assert forehead.sum() > 20 and (normal[forehead, 2] > 0).all()
    for part in components(head.faces):
        if (head.face_material[part] == names.index("catchlight")).all():
            middle = head.joints[LEFT_EYE if centre[part, 0].mean() > 0 else RIGHT_EYE]
        else:
            middle = centre[part].mean(0)
        assert np.einsum("fi,fi->f", normal[part], centre[part] - middle).sum() > 0, names[head.face_material[part][0]]
    for joint in (LEFT_EYE, RIGHT_EYE):
        ball = head.weights[head.faces[:, 0], joint] > 0.5
        assert (np.einsum("fi,fi->f", normal[ball], centre[ball] - head.joints[joint]) > 0).all()


def components(faces):
    """Lists of the faces that hang together."""
    label = np.arange(faces.max() + 1)
    corners = np.where(faces >= 0, faces, faces[:, :1])
    while True:
        least = label[corners].min(1)
        before = label.copy()
        np.minimum.at(label, corners.ravel(), np.repeat(least, 4))
        label = label[label]
        if (label == before).all():
            break
    return [np.flatnonzero(label[corners[:, 0]] == name) for name in np.unique(label[corners[:, 0]])]


def pair(name, value=1.0):
    return {name + "Left": value, name + "Right": value}


@pytest.fixture(scope="module")
def mouth(head):
    """Vertices of teeth and tongue, and of the lips and lining round them."""
    names = [m.name for m in head.materials]
    by_material = {
        n: np.unique(head.faces[head.face_material == names.index(n)]) for n in ("teeth", "tongue", "mouth", "lips")
    }
    inside = np.union1d(by_material["teeth"], by_material["tongue"])
    lining = np.setdiff1d(np.union1d(by_material["mouth"], by_material["lips"]), inside)
    return inside[inside >= 0], lining[(lining >= 0) & (head.vertices[lining, 1] < -0.02)]


def assert_inside(head, mouth, vertices, label):
    """Fails where teeth or tongue stick through lips or lining by more than 0.1 mm."""
    inside, lining = mouth
    normals = vertex_normals(vertices, head.faces)
    apart = np.linalg.norm(vertices[inside][:, None] - vertices[None, lining], axis=2)
    nearest = lining[apart.argmin(1)]
    depth = ((vertices[inside] - vertices[nearest]) * normals[nearest]).sum(1)  # positive in the cavity
    out = (depth < -0.1 * MILLIMETRE) & (apart.min(1) < 8 * MILLIMETRE)
    assert not out.any(), f"{label}: {out.sum()} points, {-depth[out].min() / MILLIMETRE:.1f} mm"


@pytest.mark.parametrize("jaw", [0.0, 8.0, 20.0])
def test_teeth_and_tongue_stay_in_the_mouth(head, mouth, jaw):
    shapes = [
        {},
        {"mouthLeft": 1.0},
        {"mouthPucker": 1.0},
        {"mouthFunnel": 1.0},
        {"mouthRollLower": 1.0},
        {"jawForward": 1.0},
    ]
    shapes += [
        {"mouthRollUpper": 1.0},
        *(pair(n) for n in ("mouthSmile", "mouthStretch", "mouthPress", "mouthLowerDown")),
    ]
    for case in shapes:
        assert_inside(head, mouth, posed(head, jaw=jaw, **case), case)


@pytest.mark.parametrize("extra", [{}, {"mouthPress": 1.0}, {"mouthRollUpper": 0.5}])
def test_no_gum_comes_through_lips_that_close_over_an_open_jaw(head, mouth, extra):
    for share in (0.25, 0.5, 0.75, 1.0):
        case = pair("mouthPress") if "mouthPress" in extra else extra
        vertices = posed(head, jaw=share * MOUTH_CLOSE_JAW_DEGREES, mouthClose=share, **case)
        assert_inside(head, mouth, vertices, f"{case} at {share}")


@pytest.mark.parametrize(("jaw", "tongue"), [(14.0, 1.0), (8.0, 1.0)])
def test_the_tongue_comes_out_between_the_lips(head, mouth, jaw, tongue):
    vertices = posed(head, jaw=jaw, tongueOut=tongue)
    assert_inside(head, mouth, vertices, f"tongueOut {tongue}")
    lip = vertices[head.landmarks["face"][landmarks.OUTER_LIP[9]], 2]
    assert vertices[mouth[0], 2].max() > lip + 5 * MILLIMETRE


SHARPEST_FOLD = -0.8
"""Cosine between the normals of neighbouring faces below which the skin has turned over on itself (143 degrees)."""


def neighbours(faces):
    """(E, 2) faces on both sides of each edge that has two."""
    found = {}
    for number, corners in enumerate(faces):
        corners = corners[corners >= 0]
        for a, b in zip(corners, np.roll(corners, -1), strict=True):
            found.setdefault((min(a, b), max(a, b)), []).append(number)
    return np.array([pair for pair in found.values() if len(pair) == 2])


def test_no_shape_turns_the_skin_over(head):
    """Left out: the lips' rolling shapes and the lids' key for looking up, which are folds, and the ears' rims."""
    names = [m.name for m in head.materials]
    outside = np.isin(head.face_material, [names.index(n) for n in ("skin", "lips")])
    edges = neighbours(head.faces)
    edges = edges[outside[edges].all(1)]
    corners = np.where(head.faces >= 0, head.faces, head.faces[:, 2:3])

    def bends(vertices):
        normal = np.cross(
            vertices[corners[:, 2]] - vertices[corners[:, 0]], vertices[corners[:, 3]] - vertices[corners[:, 1]]
        )
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-15
        return np.einsum("ei,ei->e", *(normal[edges[:, k]] for k in (0, 1)))

    smooth = bends(head.vertices) > 0
    cases = {n: {n: 1.0} for n in EXPRESSIONS if not n.startswith("mouthRoll")}
    cases["mouthClose"] = {"mouthClose": 1.0, "jaw": MOUTH_CLOSE_JAW_DEGREES}
    cases |= {f"jaw {degrees}": {"jaw": degrees} for degrees in (10, 20, 30)}
    cases |= {"follow": {"follow": (1.4, 1.4)}, "blink": {"lids": (1.0, 1.0)}}
    for label, case in cases.items():
        sharpest = bends(posed(head, **case))[smooth].min()
        assert sharpest > SHARPEST_FOLD, f"{label}: {sharpest:.2f}"
    face = smooth & (np.abs(head.vertices[head.faces[edges[:, 0], 0], 0]) < 0.06)
    shape = np.eye(len(head.shape_names))
    for i, name in enumerate(head.shape_names):
        assert min(bends(posed(head, shape=sign * shape[i]))[face].min() for sign in (1, -1)) > SHARPEST_FOLD, name


def vertex_normals(vertices, faces):
    corners = np.where(faces >= 0, faces, faces[:, 2:3])
    across = np.cross(
        vertices[corners[:, 2]] - vertices[corners[:, 0]], vertices[corners[:, 3]] - vertices[corners[:, 1]]
    )
    out = np.zeros_like(vertices)
    for k in range(4):
        np.add.at(out, corners[:, k], across)
    return out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-12)
