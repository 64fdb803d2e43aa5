"""An export of numbers in a window: a few frames at a time, the same file, Cancel, and whatever happens meanwhile."""

# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: F811 - fixtures of another file
from __future__ import annotations

import time
import types

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from _motions import standin_motion  # noqa: E402
from _rigs import random_motion  # noqa: E402
from _scene import scene_hash  # noqa: E402
from test_export_operators import addon, scene, speak, values_of  # noqa: E402, F401

from talkingeyes_blender.errors import TalkingEyesError  # noqa: E402
from talkingeyes_blender.head.standin import load_standin  # noqa: E402
from talkingeyes_blender.operators import export, exporting  # noqa: E402
from talkingeyes_blender.rig import export_data  # noqa: E402
from talkingeyes_blender.rig.build import build_head  # noqa: E402


class Window:
    """What Blender makes of an export in a window, without one."""

    invoke, modal, cancel = (getattr(exporting.RunExport, name) for name in ("invoke", "modal", "cancel"))
    _end, _leave = exporting.RunExport._end, exporting.RunExport._leave

    def __init__(self, work: exporting.Work) -> None:
        self.said: list[tuple[set, str]] = []
        nothing = types.SimpleNamespace(
            event_timer_add=lambda *_, **__: None, event_timer_remove=lambda _: None, modal_handler_add=lambda _: None,
            progress_begin=lambda *_: None, progress_update=lambda _: None, progress_end=lambda: None, windows=(),
        )  # fmt: skip
        self.status: list[str] = []
        workspace = types.SimpleNamespace(name="of nobody", status_text_set=self.status.append)
        self.context = types.SimpleNamespace(window_manager=nothing, window=None, workspace=workspace)
        exporting._pending = work
        assert self.invoke(self.context, None) == {"RUNNING_MODAL"}

    def report(self, kind: set, text: str) -> None:
        self.said.append((kind, text))

    def event(self, type_: str = "TIMER", value: str = "NOTHING") -> set[str]:
        return self.modal(self.context, types.SimpleNamespace(type=type_, value=value))

    def until_ended(self) -> set[str]:
        while True:
            result = self.event()
            if result != {"PASS_THROUGH"}:
                return result


def work(rig, take, path) -> exporting.Work:
    sampler = export_data.sampler(bpy.context.scene, rig, take)
    facts = export_data.known(rig, rig.head_model, False)
    return exporting.Work(
        "FLAME", f"written to {path}", lambda *made: export_data.export_flame(path, facts, *made), sampler=sampler,
        chunk=exporting.CHUNK_SECONDS,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def chunks(monkeypatch):
    monkeypatch.setattr(exporting, "CHUNK_SECONDS", 0.0)  # a frame at a time
    monkeypatch.setattr(exporting, "LONGEST_CHUNK_SECONDS", 0.0)


def test_in_chunks_and_in_one_go_are_the_same_file(scene, head, tmp_path):
    rig = build_head(bpy.context, head, "Ann")
    take = speak(rig, random_motion(head, 25, 4))
    bpy.ops.talkingeyes.export_flame(filepath=str(tmp_path / "one go.npz"))
    before = scene_hash()
    window, ticks = Window(work(rig, take, tmp_path / "chunks.npz")), 0
    assert not bpy.ops.talkingeyes.export_flame.poll(), "one at a time"
    while window.event() == {"PASS_THROUGH"}:
        ticks += 1
        assert bpy.context.scene.frame_current == 7, "the frame is as before at any moment"
    assert ticks >= 25 and window.said == [({"INFO"}, f"written to {tmp_path / 'chunks.npz'}")]
    assert any("4 %" in text and "Esc cancels" in text for text in window.status)
    assert scene_hash() == before and bpy.ops.talkingeyes.export_flame.poll()
    one, other = values_of(tmp_path / "one go.npz"), values_of(tmp_path / "chunks.npz")
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_cancel_writes_nothing_and_keeps_what_was_there(scene, head, tmp_path):
    rig = build_head(bpy.context, head, "Ann")
    take = speak(rig, random_motion(head, 25, 4))
    path = tmp_path / "take.npz"
    path.write_bytes(b"of before")
    before = scene_hash()
    window = Window(work(rig, take, path))
    for _ in range(5):
        window.event()
    assert window.event("A", "PRESS") == {"RUNNING_MODAL"}, "nobody changes what is being read"
    assert window.event("MIDDLEMOUSE", "PRESS") == {"PASS_THROUGH"}
    assert window.event("ESC", "PRESS") == {"CANCELLED"}
    assert "was cancelled; nothing was written" in window.said[0][1]
    assert path.read_bytes() == b"of before" and [p.name for p in tmp_path.iterdir()] == ["take.npz"]
    assert scene_hash() == before and exporting.why_busy() is None
    window = Window(work(rig, take, path))
    window.event()
    window.cancel(window.context)
    assert exporting.why_busy() is None and scene_hash() == before


def test_a_head_that_is_deleted_or_changed_in_the_middle(scene, head, tmp_path):
    rig = build_head(bpy.context, head, "Ann")
    take = speak(rig, random_motion(head, 25, 4))
    path = tmp_path / "take.npz"
    window = Window(work(rig, take, path))
    window.event()
    rig.shape_keys.key_blocks["Exp1"].name = "another name"
    assert window.event() == {"CANCELLED"} and "was changed while its motion was read" in window.said[0][1]
    rig.shape_keys.key_blocks["another name"].name = "Exp1"
    window = Window(work(rig, take, path))
    window.event()
    bpy.data.objects.remove(rig.mesh)
    assert window.event() == {"CANCELLED"} and "was deleted while its motion was read" in window.said[0][1]
    assert not path.exists() and exporting.why_busy() is None


def test_faults_of_the_writing_are_told(scene, head, tmp_path):
    rig = build_head(bpy.context, head, "Ann")
    take = speak(rig, random_motion(head, 3, 4))

    def fail(fault):
        def write(*_):
            raise fault

        return write

    for fault, said in ((TalkingEyesError("No.", "Yes."), "No. Yes."), (ZeroDivisionError("of ours"), "of ours")):
        made = work(rig, take, tmp_path / "take.npz")
        made.write = fail(fault)
        window = Window(made)
        assert window.until_ended() == {"CANCELLED"} and said in window.said[0][1]
    assert exporting.why_busy() is None


def test_a_chunk_holds_the_window_shortly(scene, tmp_path, monkeypatch):
    monkeypatch.undo()
    standin = load_standin()
    rig = build_head(bpy.context, standin, "Standin")
    take = speak(rig, standin_motion(60))
    steps, held = work(rig, take, tmp_path / "take.npz").steps(), []
    while True:
        began = time.thread_time()
        if next(steps, None) is None:
            break
        held.append(time.thread_time() - began)
    assert (tmp_path / "take.npz").exists() and max(held[1:]) < 0.05


def test_a_click_goes_to_the_window_and_a_script_waits(scene, head, tmp_path, monkeypatch):
    rig = build_head(bpy.context, head, "Ann")
    speak(rig, random_motion(head, 5, 4))
    begun = []
    monkeypatch.setattr(exporting, "begin", begun.append)
    asked = types.SimpleNamespace(
        _asked=True, source="PLAYED", span="TAKE", rate="MOTION", bl_label="FLAME",
        writer=lambda *_: None,
    )  # fmt: skip
    background = types.SimpleNamespace(app=types.SimpleNamespace(background=False))
    monkeypatch.setattr(export.bpy, "app", background.app, raising=False)
    from talkingeyes_blender.operators import subject

    context = bpy.context
    done = export.DataExport.write(asked, context, rig, subject.take_of(context), str(tmp_path / "a"), None, "said")
    monkeypatch.undo()
    assert done is False and len(begun) == 1 and begun[0].said == "said"
    assert bpy.ops.talkingeyes.export_flame(filepath=str(tmp_path / "a.npz")) == {"FINISHED"}
    assert (tmp_path / "a.npz").exists()


def test_exporters_of_blender_say_that_they_hold_the_window():
    for operator in export.SCENE_CLASSES:
        assert "holds the window until it is done" in operator.description(bpy.context, None)
