"""Export: a take leaves Blender, as a scene file with everything alive in it or as numbers."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
from bpy_extras.io_utils import ExportHelper

from ..errors import TalkingEyesError
from ..translation import rpt_
from . import exporting, jobs, memory, preview, subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..head.flame_motion import Root
    from ..motion import Motion
    from ..rig.export_sample import Progress
    from ..rig.head_rig import HeadRig
    from ..rig.takes import Take

_SPANS = (
    ("TAKE", "Take", "From the first frame of the take that plays to its last"),
    ("SCENE", "Scene", "The scene's frame range, with all takes that play in it"),
    ("PREVIEW", "Preview", "The preview range"),
)
_RATES = (
    ("MOTION", "25", "25 frames a second from the take's start: the very frames that were generated"),
    ("SCENE", "Scene", "At the scene's whole frames"),
)
_SOURCES = (
    ("PLAYED", "As It Plays", "Read off the head: strengths, constraints and what was edited by hand included"),
    ("GENERATED", "As Generated", "The motion as it was made, before strengths and edits, in the weights' own basis"),
)
BLOCKS = "Blender's own exporter writes it, and holds the window until it is done: some 30 s a minute of motion"
_LAYOUTS = (
    ("seconds", "Seconds", "A column 'time' in seconds, then the curves under ARKit's names"),
    ("live-link", "Live Link Face", "Time codes and names as in the recordings of that app"),
)


class Export(jobs.Explained, ExportHelper):
    """What all exports share: which take, where to, and that a failure is one sentence."""

    filename_ext = ""
    filter_glob: bpy.props.StringProperty(options={"HIDDEN"})
    span: bpy.props.EnumProperty(name="Range", description="Which frames are written", items=_SPANS, default="TAKE")

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        reason = exporting.why_busy() or subject.why_no_head(context) or subject.why_no_take(context)
        return reason or preview.why_shown()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.filter_glob = f"*{self.filename_ext}"
        if not self.filepath:
            try:
                self.filepath = bpy.path.clean_name(subject.take_of(context).name) + self.filename_ext
            except TalkingEyesError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        self._asked = True  # a click, and not a script, which goes on when the file is there
        return super().invoke(context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        windows = context.window_manager
        windows.progress_begin(0, 100)
        try:
            if not self.filepath:
                raise TalkingEyesError(rpt_("No file is named."), rpt_("Give the export a file name."))
            path = bpy.path.ensure_ext(bpy.path.abspath(self.filepath), self.filename_ext)
            rig, take = subject.head_of(context), subject.take_of(context)
            said = rpt_("'{name}' was written to {path}.", name=take.name, path=path)
            if not self.write(context, rig, take, path, lambda done: windows.progress_update(100 * done), said):
                return {"FINISHED"}
        except TalkingEyesError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            windows.progress_end()
        self.report({"INFO"}, said)
        return {"FINISHED"}

    def write(
        self, context: bpy.types.Context, rig: HeadRig, take: Take, path: str, progress: Progress, said: str
    ) -> bool:
        """Write the file; False if the window does it, and then tells what is to be ``said``."""
        raise NotImplementedError


class SceneExport(Export):
    """An export through an exporter of Blender's, which nothing can run beside."""

    format = ""

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        from ..rig.export_scene import why_missing

        return super().disabled_reason(context) or why_missing(cls.format)

    @classmethod
    def description(cls, _context: bpy.types.Context, _properties: bpy.types.OperatorProperties) -> str:
        return f"{cls.__doc__}. {BLOCKS}"

    def write(
        self, context: bpy.types.Context, rig: HeadRig, take: Take, path: str, progress: Progress, said: str
    ) -> bool:
        from ..rig.export_sample import times
        from ..rig.export_scene import export_scene

        frames, _ = times(context.scene, take, self.span, "SCENE")
        export_scene(context, rig, path, self.format, frames, take.name, progress)
        return True


class ExportUSD(SceneExport, bpy.types.Operator):
    """Write the head with its armature, shape keys and motion to a USD file, for Houdini, Omniverse, Maya or Unreal"""

    bl_idname = "talkingeyes.export_usd"
    bl_label = "USD (.usdc)"
    format, filename_ext = "USD", ".usdc"


class ExportAlembic(SceneExport, bpy.types.Operator):
    """Write the head to an Alembic file, each frame's points as they are rendered, for any program and without a rig"""

    bl_idname = "talkingeyes.export_alembic"
    bl_label = "Alembic (.abc)"
    format, filename_ext = "ALEMBIC", ".abc"


class ExportGltf(SceneExport, bpy.types.Operator):
    """Write the head with its armature, shape keys and motion to a glTF file, for the web and game engines"""

    bl_idname = "talkingeyes.export_gltf"
    bl_label = "glTF (.glb)"
    format, filename_ext = "GLTF", ".glb"


class ExportFbx(SceneExport, bpy.types.Operator):
    """Write the head with its armature, shape keys and motion to an FBX file, for Unreal, Unity or Maya"""

    bl_idname = "talkingeyes.export_fbx"
    bl_label = "FBX (.fbx)"
    format, filename_ext = "FBX", ".fbx"


class DataExport(Export):
    """An export of numbers."""

    source: bpy.props.EnumProperty(
        name="Motion", description="Which motion is written", items=_SOURCES, default="PLAYED"
    )
    rate: bpy.props.EnumProperty(
        name="Frames a Second", description="How many rows a second", items=_RATES, default="MOTION"
    )

    def write(
        self, context: bpy.types.Context, rig: HeadRig, take: Take, path: str, progress: Progress, said: str
    ) -> bool:
        from ..rig.export_data import sampler

        motion = reading = None
        if self.source == "PLAYED":
            reading, head_model = sampler(context.scene, rig, take, self.span, self.rate), rig.head_model
        elif (self.span, self.rate) != ("TAKE", "MOTION"):
            raise TalkingEyesError(
                rpt_("As generated, a motion has its own length and its own 25 frames a second."),
                rpt_("Export the take's range at 25, or the motion as it plays."),
            )
        else:
            motion = memory.recall(take)
            head_model = motion.head_model
        work = exporting.Work(self.bl_label, said, self.writer(rig, head_model, path), motion, reading)
        if getattr(self, "_asked", False) and not bpy.app.background and context.window is not None:
            exporting.begin(work)
            return False
        exporting.in_one_go(work, progress)
        return True

    def writer(self, rig: HeadRig, head_model: str, path: str) -> Callable[[Motion, Root | None], None]:
        """What writes a motion of that head model, and asks Blender nothing when it does."""
        raise NotImplementedError


class ExportFlame(DataExport, bpy.types.Operator):
    """Write the take as FLAME parameters (NumPy): expression, neck, jaw, eyes, blinks"""

    bl_idname = "talkingeyes.export_flame"
    bl_label = "FLAME Parameters (.npz)"
    filename_ext = ".npz"

    head_file: bpy.props.StringProperty(
        name="FLAME File",
        description="Write the expressions in this file's basis; the head's own where none is named",
        subtype="FILE_PATH",
    )

    def writer(self, rig: HeadRig, head_model: str, path: str) -> Callable[[Motion, Root | None], None]:
        from ..rig.export_data import export_flame, known

        facts, file = known(rig, head_model, bool(self.head_file)), bpy.path.abspath(self.head_file)
        return lambda motion, root: export_flame(path, facts, motion, root, _head(file))


class ExportGaussianAvatar(DataExport, bpy.types.Operator):
    """Write the take as a motion file of the GaussianAvatars viewer (--motion_path)"""

    bl_idname = "talkingeyes.export_gaussian_avatar"
    bl_label = "GaussianAvatars Motion (.npz)"
    filename_ext = ".npz"

    head_file: bpy.props.StringProperty(
        name="FLAME File",
        description="The file that the avatar was made with (FLAME 2023 for the published ones). It may be left out "
        "where the head in the scene was built from it",
        subtype="FILE_PATH",
    )
    avatar: bpy.props.StringProperty(
        name="Avatar",
        description="Folder of the avatar, or the flame_param.npz in it, so that it stays where it stood in its first "
        "frame",
        subtype="FILE_PATH",
    )

    def writer(self, rig: HeadRig, head_model: str, path: str) -> Callable[[Motion, Root | None], None]:
        from ..rig.export_data import export_gaussian_avatar, known

        facts, file = known(rig, head_model, bool(self.head_file), blinks=True), bpy.path.abspath(self.head_file)
        avatar = bpy.path.abspath(self.avatar) if self.avatar else None
        return lambda motion, root: export_gaussian_avatar(path, facts, motion, root, _head(file), avatar)


class ExportArkit(DataExport, bpy.types.Operator):
    """Write the take as curves of ARKit's 52 shapes (CSV), a row a frame"""

    bl_idname = "talkingeyes.export_arkit"
    bl_label = "ARKit Curves (.csv)"
    filename_ext = ".csv"

    columns: bpy.props.EnumProperty(
        name="Columns", description="How times and columns are written", items=_LAYOUTS, default="seconds"
    )

    def writer(self, rig: HeadRig, head_model: str, path: str) -> Callable[[Motion, Root | None], None]:
        from ..head.arkit import STANDIN
        from ..rig.export_data import export_arkit, known

        facts, columns = known(rig, head_model, head_model != STANDIN), self.columns
        return lambda motion, _root: export_arkit(path, facts, motion, columns)


def _head(path: str):
    from ..head.reading import read_head

    return read_head(path) if path else None


SCENE_CLASSES = (ExportUSD, ExportAlembic, ExportGltf, ExportFbx)
DATA_CLASSES = (ExportFlame, ExportGaussianAvatar, ExportArkit)
CLASSES = (*SCENE_CLASSES, *DATA_CLASSES)
