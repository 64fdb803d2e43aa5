"""The operators on takes: several at once, names and stars, what was edited by hand, bake, comparison."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import pytest

bpy = pytest.importorskip("bpy")
if not bpy.app.build_options.audaspace:
    pytest.skip("this Blender holds no sound strips", allow_module_level=True)

from _rigs import every_curve, file_dump  # noqa: E402
from _scene import scene_hash  # noqa: E402
from test_operators import addon, bundle, chosen, double, ready, refusal, scene, speech  # noqa: E402, F401

from talkingeyes_blender.errors import Cancelled  # noqa: E402
from talkingeyes_blender.operators import jobs, memory, subject  # noqa: E402
from talkingeyes_blender.operators.generate import Generate  # noqa: E402
from talkingeyes_blender.operators.generate_takes import GenerateTakes, new_seeds  # noqa: E402
from talkingeyes_blender.panels.takes import TakesList, TakesPanel, described  # noqa: E402
from talkingeyes_blender.rig.hand_edits import edited  # noqa: E402
from talkingeyes_blender.rig.take_list import clips_of  # noqa: E402
from talkingeyes_blender.rig.takes import current_take, takes  # noqa: E402
from talkingeyes_blender.worker import client  # noqa: E402


def rig():
    return subject.head_of(bpy.context)


def edit(take) -> None:
    curve = next(c for c in every_curve(clips_of(rig(), take)[0].strip.action) if "jaw" in c.data_path)
    curve.keyframe_points[3].co[1] += 0.1


# -------------------------------------------------------------------------------------------------- several at once


def test_several_takes_come_of_one_job_with_the_newest_playing(ready):  # noqa: F811
    ready.talkingeyes_takes.batch = 3
    assert bpy.ops.talkingeyes.generate_takes() == {"FINISHED"}
    there = takes(rig())
    assert [(take.seed, take.active) for take in there] == [(1, False), (2, False), (3, True)]
    assert "3 takes of 2.0 s, seeds 1 to 3" in bpy.context.window_manager.talkingeyes.note
    assert there[0].weights["version"] and "Weights: " in described(there[0])[1]
    for take in there:
        assert memory.recall(take).seed == take.seed
    alone = memory.recall(there[1])
    bpy.ops.talkingeyes.clear()
    ready.talkingeyes.seed = 2
    bpy.ops.talkingeyes.generate()
    assert abs(memory.recall(current_take(rig())).head - alone.head).max() < 1e-5


def test_seeds_that_are_there_are_passed_over(ready, double):  # noqa: F811
    double()
    ready.talkingeyes.seed = 5
    bpy.ops.talkingeyes.generate()
    ready.talkingeyes.seed = 4
    assert new_seeds(bpy.context, 3) == [4, 6, 7]
    ready.talkingeyes_takes.batch = 2
    bpy.ops.talkingeyes.generate_takes()
    assert [take.seed for take in takes(rig())] == [5, 4, 6]
    ready.talkingeyes.seed = 2**31 - 1
    assert new_seeds(bpy.context, 2) == [2**31 - 1, 0]


def test_several_takes_can_be_cancelled_and_nothing_is_left(ready, double, tmp_path):  # noqa: F811
    worker = double("work")
    before = scene_hash()
    job = worker.submit(client.Task("generate_takes", "speech.wav", 1, seeds=(1, 2, 3)))
    while job.phase != "Working":
        job.poll(timeout=0.2)
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait()
    assert scene_hash() == before
    worker.close()
    assert not list(tmp_path.glob("talkingeyes-*"))


@pytest.mark.parametrize("act", ["refuse", "crash", "die"])
def test_several_takes_that_fail_change_nothing(ready, double, act):  # noqa: F811
    double(act)
    refusal(bpy.ops.talkingeyes.generate_takes)


def test_a_write_that_fails_half_way_leaves_none(ready, double, monkeypatch):  # noqa: F811
    double()
    bpy.ops.talkingeyes.generate()
    from talkingeyes_blender.rig import curves

    real, calls = curves.write_take_in_steps, []

    def fails(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise jobs.TalkingEyesError("No.", "Really.")
        return real(*arguments, **options)

    monkeypatch.setattr(curves, "write_take_in_steps", fails)
    before = file_dump()
    with pytest.raises(RuntimeError, match="No"):
        bpy.ops.talkingeyes.generate_takes()
    assert len(calls) == 3
    assert file_dump() == before


# ------------------------------------------------------------------------------------------------------ edits by hand


@pytest.fixture
def edited_one(ready, double):  # noqa: F811
    double()
    bpy.ops.talkingeyes.generate()
    take = current_take(rig())
    edit(take)
    return take


def test_generate_keeps_an_edited_take_muted_and_says_so(ready, edited_one):  # noqa: F811
    ready.talkingeyes.keep_takes = False
    ready.talkingeyes.seed = 8
    bpy.ops.talkingeyes.generate()
    assert [(take.seed, take.active) for take in takes(rig())] == [(1, False), (8, True)]
    assert edited(rig(), takes(rig())[0])
    assert "edited by hand; it was kept, muted" in bpy.context.window_manager.talkingeyes.note
    bpy.ops.talkingeyes.choose_take(take=edited_one.id)
    bpy.ops.talkingeyes.generate(edited="LOSE")
    assert edited_one.id not in [take.id for take in takes(rig())]


def test_remove_keeps_an_edited_take_muted(ready, edited_one):  # noqa: F811
    bpy.ops.talkingeyes.generate()
    second = current_take(rig())
    bpy.ops.talkingeyes.choose_take(take=edited_one.id)
    bpy.ops.talkingeyes.remove_take(take=edited_one.id)
    assert [(take.id, take.active) for take in takes(rig())] == [(edited_one.id, False), (second.id, True)]
    bpy.ops.talkingeyes.remove_take(take=second.id)  # nobody edited this one
    bpy.ops.talkingeyes.remove_take(take=edited_one.id, edited="LOSE")
    assert not takes(rig()) and not bpy.data.actions


def test_clear_keeps_an_edited_take_muted(ready, edited_one):  # noqa: F811
    jaw = rig().armature.pose.bones["jaw"]
    bpy.ops.talkingeyes.generate()
    ready.frame_set(20)
    bpy.ops.talkingeyes.clear()
    assert [(take.id, take.active) for take in takes(rig())] == [(edited_one.id, False)]
    ready.frame_set(21)
    assert tuple(jaw.rotation_euler) == (0, 0, 0)
    bpy.ops.talkingeyes.clear(edited="LOSE")
    assert not bpy.data.actions


def test_what_would_be_asked(ready, edited_one):  # noqa: F811
    asked = Generate.would_lose
    assert asked(None, bpy.context) == ""  # earlier takes are kept anyway
    ready.talkingeyes.keep_takes = False
    assert "edited by hand" in asked(None, bpy.context)


# ------------------------------------------------------------------------------------------------- all else in the list


def test_the_list_selects_renames_and_rates(ready, double):  # noqa: F811
    double()
    ready.talkingeyes_takes.batch = 2
    bpy.ops.talkingeyes.generate_takes()
    first, second = takes(rig())
    listed = ready.talkingeyes_takes
    assert bpy.data.actions[listed.index].name == second.name
    listed.index = bpy.data.actions.find(first.name)
    assert [take.active for take in takes(rig())] == [True, False]
    assert subject.selected_take(bpy.context).id == first.id
    action = bpy.data.actions[first.name]
    assert action.talkingeyes_label == "Take 1"
    action.talkingeyes_label = "Calm"
    assert takes(rig())[0].label == "Calm" and bpy.data.actions[listed.index].talkingeyes_label == "Calm"
    bpy.ops.talkingeyes.rename_take(label="Shy", take=second.id)
    assert takes(rig())[1].label == "Shy"
    for wanted, stars in ((4, 4), (4, 3)):
        bpy.ops.talkingeyes.rate_take(take=first.id, stars=wanted)
        assert takes(rig())[0].rating == stars
    assert memory.recall(takes(rig())[0]).seed == 1
    listed.fade_in = 5
    assert listed.fade_in == 5 and listed.influence == 1
    bpy.ops.talkingeyes.mix_take(take=second.id)
    assert [take.active for take in takes(rig())] == [True, True]
    assert listed.influence == pytest.approx(0.5)
    listed.influence = 0.25
    assert listed.influence == pytest.approx(0.25)
    bpy.ops.talkingeyes.mix_take(take=second.id)
    assert [take.active for take in takes(rig())] == [True, False]
    with pytest.raises(RuntimeError, match="No other take plays"):
        bpy.ops.talkingeyes.mix_take(take=first.id)


def test_bake_and_comparison_by_their_buttons(ready, double):  # noqa: F811
    double()
    bpy.ops.talkingeyes.generate()
    assert not bpy.ops.talkingeyes.compare_take.poll() and not bpy.ops.talkingeyes.end_comparison.poll()
    assert bpy.ops.talkingeyes.generate_takes() == {"FINISHED"}
    before = file_dump()
    assert bpy.ops.talkingeyes.compare_take() == {"FINISHED"}
    assert len(bpy.data.armatures) == 1 and len([o for o in bpy.data.objects if o.type == "ARMATURE"]) == 2
    assert bpy.ops.talkingeyes.end_comparison() == {"FINISHED"}
    assert file_dump() == before
    assert "no active action" in refusal(bpy.ops.talkingeyes.bake_take, into="ACTIVE")
    assert bpy.ops.talkingeyes.bake_take() == {"FINISHED"}
    assert rig().armature.animation_data.action is not None
    assert not any(take.active for take in takes(rig()))
    assert GenerateTakes.disabled_reason(bpy.context) is None


def test_settings_of_a_plan_are_all_handed_on(ready, double):  # noqa: F811
    double()
    ready.talkingeyes.write_gaze, ready.talkingeyes.strength_face = False, 0.5
    bpy.ops.talkingeyes.generate_takes()
    for take in takes(rig()):
        assert not take.parts.gaze and take.strengths.face == 0.5
        assert dataclasses.asdict(take.parts)["face"]


class Drawn:
    """A layout that notes what is drawn, and asks Blender whether it is there."""

    def __init__(self, notes: list) -> None:
        self.__dict__.update(notes=notes)

    def __setattr__(self, name: str, value: object) -> None:
        assert name in bpy.types.UILayout.bl_rna.properties, name

    def _part(self, **_options):
        return Drawn(self.notes)

    row = column = split = box = _part

    def separator(self) -> None:
        pass

    def panel(self, _identity, default_closed=False):
        return self, self

    def label(self, text="", icon="NONE", translate=True) -> None:
        self.notes.append(text)

    def prop(self, owner, name, **_options) -> None:
        assert name in owner.bl_rna.properties
        getattr(owner, name)
        self.notes.append(f"{name}")

    def operator(self, name, **options):
        module, _, function = name.partition(".")
        known = getattr(getattr(bpy.ops, module), function).get_rna_type().properties
        self.notes.append(name)

        class Properties:
            def __setattr__(self, key, value):
                assert key in known, key

        return Properties()

    def operator_menu_enum(self, name, enum, **_options):
        assert self.operator(name) and enum in bpy.ops.talkingeyes.bake_take.get_rna_type().properties
        return self

    def template_list(self, kind, _identity, data, name, owner, index, **_options) -> None:
        shown = type("Shown", (), {"bitflag_filter_item": 1 << 30, "filter_name": ""})()
        flags, places = TakesList.filter_items(shown, bpy.context, data, name)
        items = list(getattr(data, name))
        assert sorted(places) == list(range(len(items)))
        for _, item in sorted(zip(places, items, strict=True), key=lambda pair: pair[0]):
            if flags[items.index(item)]:
                self.notes.append(f"row {item.talkingeyes_label}")
                TakesList.draw_item(shown, bpy.context, self, data, item, 0, owner, index)


def test_the_panel_lists_the_heads_takes_newest_first(ready, double):  # noqa: F811
    double()
    bpy.data.actions.new("Somebody's")
    drawn = Drawn([])
    TakesPanel.draw(type("Self", (), {"layout": drawn})(), bpy.context)
    assert "talkingeyes.generate_takes" in drawn.notes and "influence" not in drawn.notes
    ready.talkingeyes_takes.batch = 3
    bpy.ops.talkingeyes.generate_takes()
    edit(current_take(rig()))
    drawn = Drawn([])
    TakesPanel.draw(type("Self", (), {"layout": drawn})(), bpy.context)
    assert [note for note in drawn.notes if note.startswith("row")] == ["row Take 3", "row Take 2", "row Take 1"]
    assert any("Edited by hand" in note for note in drawn.notes)
    assert {"influence", "fade_in", "talkingeyes.bake_take", "talkingeyes.compare_take"} <= set(drawn.notes)
