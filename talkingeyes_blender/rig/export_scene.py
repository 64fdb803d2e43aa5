"""A head and its motion to USD, Alembic, glTF and FBX, by the exporters that this Blender has."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np

from ..errors import TalkingEyesError
from ..files import written_whole
from .export_bake import Baked, baked
from .export_sample import Progress
from .head_rig import HeadRig

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SceneFormat:
    """A file format of Blender's."""

    name: str
    operator: str
    endings: tuple[str, ...]
    from_zero: bool
    """Whether time in the file begins with the motion; else it is the scene's."""
    keep_modifiers: bool
    write: Callable[[str, Baked], object]
    mend: str
    """What to do where the exporter is not there."""


def _usd(path: str, head: Baked) -> None:
    bpy.ops.wm.usd_export(
        filepath=path,
        selected_objects_only=True,
        export_animation=True,
        **_known(
            bpy.ops.wm.usd_export,
            export_armatures=True,
            export_shapekeys=True,
            only_deform_bones=False,
            export_hair=False,
            export_materials=True,
            export_textures=False,
            export_textures_mode="PRESERVE",
            generate_preview_surface=True,
            export_subdivision="IGNORE",
            relative_paths=False,
            merge_parent_xform=False,
        ),
    )


def _alembic(path: str, head: Baked) -> None:
    bpy.ops.wm.alembic_export(
        filepath=path,
        selected=True,
        start=head.scene.frame_start,
        end=head.scene.frame_end,
        as_background_job=False,
        **_known(
            bpy.ops.wm.alembic_export,
            apply_subdiv=True,
            export_hair=False,
            export_particles=False,
            evaluation_mode="RENDER",
        ),
    )


def _gltf(path: str, head: Baked) -> None:
    # Up to Blender 5.2 at least this exporter takes a second for fps * fps_base frames; it is fps / fps_base.
    head.scene.render.fps_base = 1 / head.scene.render.fps_base
    bpy.ops.export_scene.gltf(
        filepath=path,
        export_format="GLB",
        use_selection=True,
        **_known(
            bpy.ops.export_scene.gltf,
            use_active_scene=True,
            export_animations=True,
            export_animation_mode="ACTIVE_ACTIONS",
            export_anim_single_armature=False,  # or the actions of all other takes go along
            export_force_sampling=True,
            export_optimize_animation_size=False,
            export_frame_range=True,
            export_anim_slide_to_zero=False,
            export_skins=True,
            export_all_influences=True,
            export_def_bones=False,
            export_morph=True,
            export_morph_normal=False,
            export_morph_animation=True,
            export_try_sparse_sk=True,
            export_rest_position_armature=True,
            export_apply=False,
            export_yup=True,
            export_cameras=False,
            export_lights=False,
        ),
    )


def _fbx(path: str, head: Baked) -> None:
    bpy.ops.export_scene.fbx(
        filepath=path,
        use_selection=True,
        object_types={"ARMATURE", "MESH"},
        add_leaf_bones=False,
        bake_anim=True,
        bake_anim_use_all_bones=True,
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,
        bake_anim_force_startend_keying=True,
        bake_anim_simplify_factor=0.0,
        path_mode="ABSOLUTE",
        embed_textures=False,
    )


_BUILD = "Use a Blender that has it, such as those of blender.org."
FORMATS = {
    "USD": SceneFormat("USD", "wm.usd_export", (".usdc", ".usda", ".usd"), False, False, _usd, _BUILD),
    "ALEMBIC": SceneFormat("Alembic", "wm.alembic_export", (".abc",), False, True, _alembic, _BUILD),
    "GLTF": SceneFormat(
        "glTF", "export_scene.gltf", (".glb",), True, False, _gltf,
        "Switch on the add-on 'glTF 2.0 format' in the preferences.",
    ),
    "FBX": SceneFormat(
        "FBX", "export_scene.fbx", (".fbx",), True, False, _fbx,
        "Switch on the add-on 'FBX format' in the preferences.",
    ),
}  # fmt: skip


def why_missing(format_: str) -> str | None:
    """Why this Blender cannot write a format; None where it can."""
    chosen = FORMATS[format_]
    return None if _properties(chosen.operator) is not None else f"This Blender has no exporter for {chosen.name}."


def export_scene(
    context: bpy.types.Context,
    rig: HeadRig,
    path: str | os.PathLike,
    format_: str,
    frames: np.ndarray,
    title: str = "Export",
    progress: Progress | None = None,
) -> None:
    """Write the rig, its meshes, and its motion at the scene frames ``frames`` (whole ones, in a row) to a file.

    Jaw, eyes and head stay bones and expressions shape keys, but in Alembic, which holds points. ``title`` names
    the animation. Nothing in the Blender file changes, and nothing is left behind if the export fails.
    """
    chosen = FORMATS[format_]
    if why_missing(format_) is not None:
        raise TalkingEyesError(why_missing(format_), chosen.mend)
    path = Path(path)
    if path.suffix.lower() not in chosen.endings:
        raise TalkingEyesError(
            f"{path} is not named as a {chosen.name} file.", f"Its name must end in {chosen.endings[0]}."
        )
    with written_whole(path) as beside:
        first = 0 if chosen.from_zero else round(float(frames[0]))
        with (
            _object_mode(context),
            baked(context, rig, frames, first, title, chosen.keep_modifiers, progress) as head,
            _stage(context, head),
        ):
            _run(chosen, str(beside), head)
        if not beside.is_file():
            raise TalkingEyesError(
                f"Blender's exporter for {chosen.name} wrote nothing.", "Look at its console for why."
            )


def _run(chosen: SceneFormat, path: str, head: Baked) -> None:
    talk = io.StringIO()
    try:
        with contextlib.redirect_stdout(talk):
            chosen.write(path, head)
    except (RuntimeError, TypeError, KeyError, ValueError, AttributeError) as error:
        log.warning("%s: %s", chosen.name, error, exc_info=True)
        last = str(error).strip().splitlines() or ["no reason given"]
        raise TalkingEyesError(
            f"Blender's exporter for {chosen.name} failed ({last[-1].rstrip('.')}).", "Nothing was written."
        ) from error


@contextlib.contextmanager
def _stage(context: bpy.types.Context, head: Baked) -> Iterator[None]:
    """The copy's scene is the context's and the window's, and the copy selected."""
    window, layer = context.window, head.scene.view_layers[0]
    before = (window.scene, window.view_layer) if window is not None else None
    try:
        if window is not None:
            # Python's exporters look at what is selected in the window, and glTF's moves it from scene to scene.
            window.scene = head.scene
        with context.temp_override(scene=head.scene, view_layer=layer, collection=head.scene.collection):
            for obj in head.objects:
                obj.select_set(True, view_layer=layer)
            layer.objects.active = head.armature
            layer.update()
            yield
    finally:
        if before is not None:
            window.scene, window.view_layer = before


@contextlib.contextmanager
def _object_mode(context: bpy.types.Context) -> Iterator[None]:
    active = context.view_layer.objects.active
    mode = active.mode if active is not None else "OBJECT"
    if mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    try:
        yield
    finally:
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode=mode)


def _properties(operator: str) -> set[str] | None:
    """Names of an operator's properties, or None where it is not there."""
    module, name = operator.split(".")
    try:
        return set(getattr(getattr(bpy.ops, module), name).get_rna_type().properties.keys())
    except (KeyError, AttributeError):
        return None


def _known(operator, **options) -> dict:
    """Those of the options that this Blender's operator has: they come and go from version to version."""
    known = operator.get_rna_type().properties
    return {name: value for name, value in options.items() if name in known}
