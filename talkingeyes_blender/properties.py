"""Settings that a scene keeps, and the state of the running job, which nobody keeps."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable

import bpy

from . import mapping_properties, preferences, take_properties
from .operators import adjust_take, cast, jobs
from .rig import compat
from .translation import rpt_

BLINK_RATES = {"PAPER": None, "CONVERSATION": 26.0, "REST": 17.0}
"""Blinks a minute of the presets; None draws the clip's rate from the paper's N(40.10, 15.42)."""

MAXIMUM_SEED = 2**31 - 1


def _found_strips(_self: SceneSettings, context: bpy.types.Context, typed: str) -> list[str]:
    return [strip.name for strip in compat.sound_strips(context.scene) if typed.lower() in strip.name.lower()]


def _is_head(_self: SceneSettings, candidate: bpy.types.Object) -> bool:
    return candidate.type == "ARMATURE" or (candidate.type == "MESH" and candidate.data.shape_keys is not None)


def _strength(description: str) -> bpy.types.FloatProperty:
    return bpy.props.FloatProperty(
        name="Strength",
        description=description,
        default=1.0,
        min=0.0,
        max=3.0,
        soft_max=1.5,
        subtype="FACTOR",
    )


def _switch(part: str, description: str) -> bpy.types.BoolProperty:
    return bpy.props.BoolProperty(name=part, description=description, default=True)


class KnownHead(bpy.types.PropertyGroup):
    """A head of the scene and the settings that it keeps for itself."""

    head: bpy.props.PointerProperty(name="Head", type=bpy.types.Object)
    values: bpy.props.StringProperty(name="Settings", description="As JSON")


class SceneSettings(bpy.types.PropertyGroup):
    """``scene.talkingeyes``: whose speech, whose head, and how."""

    strip: bpy.props.StringProperty(
        name="Sound Strip",
        description="The speech: a sound strip of the sequencer; its trim is honoured",
        search=_found_strips,
        update=cast.strip_chosen,
    )
    rig: bpy.props.PointerProperty(
        name="Head",
        description="The armature of the head, or its mesh",
        type=bpy.types.Object,
        poll=_is_head,
        update=cast.rig_chosen,
    )
    heads: bpy.props.CollectionProperty(name="Heads", type=KnownHead)
    current: bpy.props.PointerProperty(
        name="Current Head", description="Whose settings the panel shows", type=bpy.types.Object
    )
    seed: bpy.props.IntProperty(
        name="Seed", description="The same seed makes the same motion again", default=1, min=0, max=MAXIMUM_SEED
    )
    gaze_seed: bpy.props.IntProperty(
        name="Gaze Seed",
        description="Seed of what was resampled last",
        default=1,
        min=0,
        max=MAXIMUM_SEED,
    )
    next_gaze_seed: bpy.props.BoolProperty(
        name="Next Seed Each Time",
        description="Resampling counts the seed up by one first. Turn it off to sample the seed that is shown",
        default=True,
    )

    resample_parts: bpy.props.EnumProperty(
        name="Part",
        description="What Resample draws anew",
        items=(
            ("GAZE", "Gaze", "Where the eyes look, under the same head"),
            ("HEAD_GAZE", "Head and Gaze", "The turns of the head, and the gaze that goes with them"),
            ("BLINKS", "Blinks", "When the eyes blink"),
        ),
        default="GAZE",
    )
    resample_range: bpy.props.EnumProperty(
        name="Frames",
        description="Which frames Resample draws anew; outside of them nothing changes",
        items=(
            ("ALL", "Whole Take", "All frames of the take"),
            ("PREVIEW", "Preview Range", "The frames of the timeline's preview range"),
            ("MARKERS", "Between Markers", "From the last marker at or before the current frame up to the next one"),
            ("FRAMES", "From, To", "The frames that are named below"),
        ),
        default="ALL",
    )
    resample_first: bpy.props.IntProperty(name="First", description="First frame that is drawn anew", default=1)
    resample_last: bpy.props.IntProperty(name="Last", description="Last frame that is drawn anew", default=50)

    keep_takes: bpy.props.BoolProperty(
        name="Keep Earlier Takes",
        description="Generate adds a take and mutes the one that played. Turn it off to replace that one",
        default=True,
    )

    preview: bpy.props.BoolProperty(
        name="Preview while Generating",
        description="Show on the head, and play, what is made so far while the rest is being made. At the end the take "
        "takes its place",
        default=False,
    )
    reduce_keys: bpy.props.BoolProperty(
        name="Reduce Keys of New Takes",
        description="Give the curves that are written few keys with handles, as Reduce Keys does",
        default=False,
    )
    preset: bpy.props.StringProperty(
        name="Character", description="The preset that was chosen last", options={"HIDDEN"}
    )
    take: bpy.props.PointerProperty(name="Adjust Take", type=adjust_take.TakeStrengths)

    write_face: _switch("Face", "Write the expression and the jaw")
    write_head: _switch("Head", "Write the turns of the head")
    write_gaze: _switch("Gaze", "Write the turns of the eyes")
    write_blinks: _switch("Blinks", "Write the blinks")
    strength_face: _strength("How strongly the face is written; 1 is as generated")
    strength_head: _strength("How strongly the head's motion is written; 1 is as generated")
    strength_gaze: _strength("How strongly the gaze is written; 1 is as generated")
    strength_blinks: _strength("How strongly a blink is written; 1 is as generated")

    blink_preset: bpy.props.EnumProperty(
        name="Blink Rate",
        description="How often the eyes blink",
        items=(
            ("PAPER", "Talking (varied)", "Drawn for each clip from a mean of 40 a minute, deviation 15"),
            ("CONVERSATION", "Conversation", "26 a minute"),
            ("REST", "Rest", "17 a minute"),
            ("CUSTOM", "Custom", "As often as you say"),
        ),
        default="PAPER",
    )
    blink_rate: bpy.props.FloatProperty(
        name="Blinks a Minute", description="Mean number of blinks a minute", default=20.0, min=0.0, max=90.0
    )
    gaze_choice: bpy.props.EnumProperty(
        name="Gaze",
        description="How the next glance is chosen",
        items=(
            ("sample", "Varied", "Drawn by its probability: another seed looks elsewhere"),
            ("argmin", "Most Likely", "Always the likeliest: calm, and the same for each seed"),
        ),
        default="sample",
    )
    gaze_temperature: bpy.props.FloatProperty(
        name="Liveliness",
        description="Temperature of the draw: below 1 calmer, above 1 more surprising",
        default=1.0,
        min=0.1,
        max=2.0,
        subtype="FACTOR",
    )
    device: bpy.props.EnumProperty(
        name="Device",
        description="Where the models run",
        items=(("preferences", "As in Preferences", "What the add-on's preferences say"), *preferences.DEVICES),
        default="preferences",
    )

    @property
    def parts(self) -> dict[str, float]:
        """Return the strength by part that shall be written."""
        return {
            part: getattr(self, f"strength_{part}")
            for part in ("face", "head", "gaze", "blinks")
            if getattr(self, f"write_{part}")
        }

    def generation(self) -> dict[str, object]:
        """Return the fields of ``inference.generator.GenerationSettings``."""
        rate = BLINK_RATES.get(self.blink_preset, self.blink_rate)
        return {"blink_rate": rate, "gaze": self.gaze_choice, "temperature": self.gaze_temperature}

    def chosen_device(self, context: bpy.types.Context) -> str:
        return preferences.read(context).device if self.device == "preferences" else self.device


def _running(_self: JobState) -> bool:
    return jobs.running() is not None


def _of_job(field: str, nothing: object) -> Callable[[JobState], object]:
    """What reads a field of the running job; ``nothing`` while none runs."""
    return lambda _self: nothing if jobs.running() is None else getattr(jobs.running(), field)


def _phase(_self: JobState) -> str:
    if jobs.running() is None:
        return ""
    return rpt_("Writing to the head") if jobs.writing() else jobs.running().phase


def _of_note(field: str) -> Callable[[JobState], str]:
    """What reads a field of the last job's story."""
    return lambda _self: getattr(jobs.note(), field)


def _left(_self: JobState) -> str:
    from .worker.pace import words

    job = jobs.running()
    return words(job.seconds_left) if job is not None else ""


class JobState(bpy.types.PropertyGroup):
    """``window_manager.talkingeyes``: read from the running job, stored nowhere."""

    running: bpy.props.BoolProperty(name="Running", get=_running)
    fraction: bpy.props.FloatProperty(name="Progress", get=_of_job("fraction", 0.0), subtype="FACTOR")
    phase: bpy.props.StringProperty(name="Phase", get=_phase)
    left: bpy.props.StringProperty(name="Time Left", get=_left)
    note: bpy.props.StringProperty(name="Last Result", get=_of_note("text"))
    note_icon: bpy.props.StringProperty(name="Icon of the Last Result", get=_of_note("icon"))
    note_mend: bpy.props.StringProperty(name="Operator that Mends the Last Result", get=_of_note("mend"))


def attach() -> None:
    bpy.types.Scene.talkingeyes = bpy.props.PointerProperty(name="TalkingEyes", type=SceneSettings)
    bpy.types.WindowManager.talkingeyes = bpy.props.PointerProperty(name="TalkingEyes", type=JobState)
    mapping_properties.attach()
    take_properties.attach()


def detach() -> None:
    take_properties.detach()
    mapping_properties.detach()
    del bpy.types.WindowManager.talkingeyes
    del bpy.types.Scene.talkingeyes


CLASSES = (
    *adjust_take.GROUPS,
    *mapping_properties.CLASSES,
    KnownHead,
    SceneSettings,
    JobState,
    *take_properties.CLASSES,
)
