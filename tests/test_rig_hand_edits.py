"""Edits by hand: found in any curve, and never lost unasked; takes of old files work as before."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

bpy = pytest.importorskip("bpy")

from _gaze import write_gaze  # noqa: E402
from _rigs import every_curve, random_motion  # noqa: E402

from talkingeyes_blender.rig import compat, hand_edits  # noqa: E402
from talkingeyes_blender.rig.channels import gaze_paths  # noqa: E402
from talkingeyes_blender.rig.curves import write_take  # noqa: E402
from talkingeyes_blender.rig.hand_edits import WRITTEN_PROPERTY, edited, edited_paths, is_sealed, why_ask  # noqa: E402
from talkingeyes_blender.rig.key_reduction import reduce_take  # noqa: E402
from talkingeyes_blender.rig.strength_layer import Adjustment, adjust_take  # noqa: E402
from talkingeyes_blender.rig.take_records import TAKE_PROPERTY  # noqa: E402
from talkingeyes_blender.rig.takes import choose_take, clear, clips, owners, remove_take, takes  # noqa: E402


def actions_of(rig, take) -> set:
    return {clip.strip.action for owner in owners(rig) for clip in clips(owner) if clip.record["id"] == take.id}


def curve_of(rig, take, word: str):
    return next(c for action in actions_of(rig, take) for c in every_curve(action) if word in c.data_path)


def test_a_fresh_take_is_untouched_also_after_saving(scene, head, rig, tmp_path):
    write_take(rig, random_motion(head), scene=scene)
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    from talkingeyes_blender.rig.find import find_rig

    again = find_rig(bpy.data.objects["Ann"])
    assert not edited(again, takes(again)[0])


def move(curve):
    curve.keyframe_points[3].co[1] += 1e-4


def insert(curve):
    curve.keyframe_points.insert(1.5, 0.0)


def soften(curve):
    curve.keyframe_points[2].interpolation = "BEZIER"


def mute(curve):
    curve.mute = True


def modify(curve):
    curve.modifiers.new("NOISE")


@pytest.mark.parametrize("change", [move, insert, soften, mute, modify])
@pytest.mark.parametrize("word", ["Exp2", "jaw"])
def test_any_change_of_a_curve_is_found(scene, head, rig, change, word):
    take = write_take(rig, random_motion(head), scene=scene)
    curve = curve_of(rig, take, word)
    path = curve.data_path
    change(curve)
    assert edited_paths(rig, take) == {path}
    assert "1 curve" in why_ask(rig, take)
    assert edited(rig, take, {path})
    assert not edited(rig, take, set().union(*gaze_paths(rig)))


def test_new_gaze_is_no_edit_and_hides_none(scene, head, rig):
    motion = random_motion(head)
    take = write_take(rig, motion, scene=scene)
    take = write_gaze(rig, motion.eyes * 0.5, take=take, seed=7)
    assert not edited(rig, take)
    move(curve_of(rig, take, "Exp2"))
    take = write_gaze(rig, motion.eyes * 0.2, take=take, seed=8)
    assert len(edited_paths(rig, take)) == 1


@pytest.mark.parametrize("change", [reduce_take, lambda rig, take: adjust_take(rig, take, Adjustment(head=0.5))])
def test_what_the_add_on_changes_is_no_edit_and_hides_none(scene, head, rig, change):
    take = write_take(rig, random_motion(head), scene=scene)
    change(rig, take)
    assert not edited(rig, take)
    curve = curve_of(rig, take, "neck")
    path = curve.data_path
    move(curve)
    change(rig, take)
    assert edited_paths(rig, take) == {path}


def test_generating_anew_keeps_an_edited_take_and_replaces_others(scene, head, rig):
    first = write_take(rig, random_motion(head, seed=1), scene=scene)
    second = write_take(rig, random_motion(head, seed=2), scene=scene)
    assert [take.id for take in takes(rig)] == [second.id]
    move(curve_of(rig, second, "Exp2"))
    third = write_take(rig, random_motion(head, seed=3), scene=scene)
    assert any("edited" in text for text in third.warnings)
    assert [(take.id, take.active) for take in takes(rig)] == [(second.id, False), (third.id, True)]
    assert edited(rig, second)
    choose_take(rig, second)
    write_take(rig, random_motion(head, seed=4), scene=scene, replace_edited=True)
    assert second.id not in [take.id for take in takes(rig)]
    assert first.id not in [take.id for take in takes(rig)]


def as_of_old(action) -> None:
    """Bring an action back to what the first version wrote with it."""
    record = json.loads(action[TAKE_PROPERTY])
    old = ("id", "number", "seed", "gaze_seed", "start", "step", "frames", "head_model", "parts", "strengths")
    action[TAKE_PROPERTY] = json.dumps({key: record[key] for key in (*old, "settings", "before", "sliders")})
    del action[WRITTEN_PROPERTY]


def test_takes_of_the_first_version_work(scene, head, rig, tmp_path):
    motion = random_motion(head)
    write_take(rig, motion, scene=scene)
    write_take(rig, random_motion(head, seed=5), scene=scene, keep_previous=True)
    for action in bpy.data.actions:
        as_of_old(action)
    path = str(tmp_path / "old.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    from talkingeyes_blender.rig.find import find_rig

    rig = find_rig(bpy.data.objects["Ann"])
    old, new = takes(rig)
    assert (old.format, old.label, old.rating, old.weights) == (1, "", 0, {})
    assert not is_sealed(rig, new) and edited(rig, new) and "earlier version" in why_ask(rig, new)
    choose_take(rig, old)
    write_gaze(rig, motion.eyes * 0.5, take=old, seed=9)
    remove_take(rig, new)
    third = write_take(rig, motion, scene=bpy.context.scene)
    assert [take.id for take in takes(rig)] == [old.id, third.id]  # it might have been edited
    assert third.format == 2
    assert clear(rig) == 2 and not bpy.data.actions


def test_a_record_of_a_newer_version_is_read_and_kept(scene, head, rig):
    write_take(rig, random_motion(head), scene=scene)
    for action in bpy.data.actions:
        record = json.loads(action[TAKE_PROPERTY])
        record["parts"]["tongue"] = True
        action[TAKE_PROPERTY] = json.dumps({**record, "format": 9, "mood": "glad"})
    (take,) = takes(rig)
    assert take.format == 9
    write_gaze(rig, random_motion(head).eyes, take=take)
    assert all(json.loads(action[TAKE_PROPERTY])["mood"] == "glad" for action in bpy.data.actions)


def test_a_look_in_slices_finds_the_same_and_never_takes_long(scene, head, rig, monkeypatch):
    write_take(rig, random_motion(head), scene=scene)
    take = takes(rig)[0]
    for name, value in (("_seen", {}), ("_look", None), ("_looked", -1e9)):
        monkeypatch.setattr(hand_edits, name, value)
    looked = []
    fingerprint = hand_edits._fingerprint
    monkeypatch.setattr(hand_edits, "_fingerprint", lambda curve: looked.append(curve.data_path) or fingerprint(curve))

    total = sum(len(list(every_curve(action))) for action in actions_of(rig, take))
    monkeypatch.setattr(hand_edits.time, "perf_counter", _Clock(0.001))
    for slices in range(1, total + 1):
        assert not hand_edits.seems_edited(rig, take, budget=0.0)
        assert len(looked) == slices and hand_edits.is_looking() == (slices < total)
    # Within the second after a look nothing is looked at; then an edit is found, however thin the slices.
    curve_of(rig, take, "jaw").keyframe_points[0].co.y += 1
    assert not hand_edits.seems_edited(rig, take) and len(looked) == total
    hand_edits._seen.clear()
    for _ in range(10_000):
        if hand_edits.seems_edited(rig, take, budget=0.002):
            break
    assert hand_edits.seems_edited(rig, take) and len(looked) == 2 * total


def test_a_curve_that_goes_while_it_is_looked_at_has_the_look_begun_anew(scene, head, rig, monkeypatch):
    write_take(rig, random_motion(head), scene=scene)
    take = takes(rig)[0]
    for name, value in (("_seen", {}), ("_look", None), ("_looked", -1e9)):
        monkeypatch.setattr(hand_edits, name, value)
    monkeypatch.setattr(hand_edits.time, "perf_counter", _Clock(0.001))
    assert not hand_edits.seems_edited(rig, take, budget=0.004) and hand_edits.is_looking()
    for strip in [clip.strip for owner in owners(rig) for clip in clips(owner)]:
        curves = compat.Curves(strip.action, compat.slot_of(strip))
        for curve in [c for c in curves if "jaw" in c.data_path]:
            curves.remove(curve)
    for _ in range(10_000):
        if hand_edits.seems_edited(rig, take, budget=0.004):
            break
    assert hand_edits.seems_edited(rig, take)


class _Clock:
    """Time that goes on by a step whenever it is asked for."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 1000.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now
