"""A portrait studio round a head: camera, three area lights, world, and settings to render it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

from . import compat
from .head_rig import HeadRig
from .points import mesh_to_armature, rest_points, transform

STAGE = "TalkingEyes Stage"
"""Name of the collection, and the beginning of the names of what is in it."""

_EYE_DISTANCE = 0.0634
"""Metres between FLAME's eyes: the size that the numbers below are for; other heads scale them."""
_LENS, _SENSOR = 85.0, 36.0
_VIEW_HEIGHT = 0.29
_TARGET_BELOW_EYES = 0.016
# In FLAME's frame, metres from the target: place, watts, size, colour.
_LIGHTS = (
    ("Key", (-0.7, 0.7, 0.9), 16.0, 0.7, (1.0, 0.94, 0.86)),
    ("Fill", (0.9, 0.2, 0.7), 6.0, 0.9, (0.85, 0.92, 1.0)),
    ("Rim", (0.3, 0.8, -0.9), 14.0, 0.6, (1.0, 0.95, 0.9)),
)
_WORLD, _WORLD_STRENGTH = (0.62, 0.70, 0.80), 0.55


def add_stage(scene: bpy.types.Scene, rig: HeadRig) -> bpy.types.Collection:
    """Add camera, lights and world for a portrait of ``rig``, make them the scene's, and return their collection.

    Called again it replaces the stage that it made before; the scene's other objects are left alone.
    """
    _remove_stage(scene)
    target, axes, scale = _portrait(rig)
    collection = bpy.data.collections.new(STAGE)
    scene.collection.children.link(collection)
    camera = bpy.data.objects.new(f"{STAGE} Camera", bpy.data.cameras.new(f"{STAGE} Camera"))
    collection.objects.link(camera)
    camera.data.lens, camera.data.sensor_width, camera.data.sensor_fit = _LENS, _SENSOR, "VERTICAL"
    camera.data.sensor_height = _SENSOR
    camera.data.clip_start = 0.01 * scale
    distance = scale * _VIEW_HEIGHT * _LENS / _SENSOR
    camera.matrix_world = _looking_at(target + distance * axes[:, 2], target, axes[:, 1])
    scene.camera = camera
    for name, place, watts, size, color in _LIGHTS:
        light = bpy.data.lights.new(f"{STAGE} {name}", "AREA")
        # Power grows with the square of the distance that it has to light.
        light.energy, light.size, light.color = watts * scale**2, size * scale, color
        lamp = bpy.data.objects.new(light.name, light)
        collection.objects.link(lamp)
        lamp.matrix_world = _looking_at(target + scale * axes @ np.array(place), target, axes[:, 1])
    scene.world = _world()
    return collection


def prepare_render(
    scene: bpy.types.Scene, engine: str = "EEVEE", size: tuple[int, int] = (512, 512), samples: int = 16
) -> None:
    """Set a scene's renderer ('WORKBENCH', 'EEVEE' or 'CYCLES') and picture size to values that suit the stage."""
    scene.render.engine = compat.render_engine(engine)
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"
    scene.eevee.taa_render_samples = samples
    if hasattr(scene, "cycles"):
        scene.cycles.samples = samples
    shading = scene.display.shading
    # Workbench's default light flattens the lids; this one models them, and cavity draws their edge.
    shading.light, shading.studio_light = "STUDIO", "paint.sl"
    shading.color_type, shading.background_type = "VERTEX", "WORLD"
    shading.show_cavity, shading.cavity_type = True, "BOTH"
    shading.cavity_ridge_factor, shading.cavity_valley_factor = 0.5, 0.7
    shading.show_specular_highlight, shading.show_shadows = True, False
    scene.display.render_aa = "8"


def _portrait(rig: HeadRig) -> tuple[np.ndarray, np.ndarray, float]:
    """(what to look at, (3, 3) columns left, up, out of the face, scale) in world space."""
    to_world = np.array(rig.armature.matrix_world, np.float64)
    axes = to_world[:3, :3] @ rig.frame
    axes = axes / np.linalg.norm(axes, axis=0)
    bones = rig.armature.data.bones if rig.has_bones else ()
    if "left_eye" in rig.bones and "right_eye" in rig.bones:
        heads = np.array([bones[rig.bones[side]].head_local for side in ("left_eye", "right_eye")], np.float64)
        left, right = transform(to_world, heads)
        scale = np.linalg.norm(left - right) / _EYE_DISTANCE
        return (left + right) / 2 - scale * _TARGET_BELOW_EYES * axes[:, 1], axes, float(scale)
    if rig.mesh is None:
        jaw = np.array(bones[rig.bones["jaw"]].head_local, np.float64)
        return transform(to_world, jaw), axes, 1.0
    points = transform(to_world @ mesh_to_armature(rig.armature, rig.mesh), rest_points(rig.mesh)) @ axes
    low, high = points.min(0), points.max(0)
    return axes @ ((low + high) / 2), axes, float((high - low)[1] / _VIEW_HEIGHT)


def _looking_at(place: np.ndarray, target: np.ndarray, up: np.ndarray) -> Matrix:
    """The matrix of a camera or light (these look along their -Z) at ``place``."""
    z = (place - target) / np.linalg.norm(place - target)
    x = np.cross(up, z)
    x /= np.linalg.norm(x)
    matrix = np.eye(4)
    matrix[:3] = np.stack([x, np.cross(z, x), z, place], 1)
    return Matrix(matrix.tolist())


def _world() -> bpy.types.World:
    world = bpy.data.worlds.new(STAGE)
    world.color = _WORLD
    if world.node_tree is None:
        world.use_nodes = True
    background = next((n for n in world.node_tree.nodes if n.type == "BACKGROUND"), None)
    if background is None:
        background = world.node_tree.nodes.new("ShaderNodeBackground")
        output = next((n for n in world.node_tree.nodes if n.type == "OUTPUT_WORLD"), None)
        output = output or world.node_tree.nodes.new("ShaderNodeOutputWorld")
        world.node_tree.links.new(background.outputs[0], output.inputs[0])
    background.inputs["Color"].default_value = (*_WORLD, 1.0)
    background.inputs["Strength"].default_value = _WORLD_STRENGTH
    return world


def _remove_stage(scene: bpy.types.Scene) -> None:
    for collection in [c for c in scene.collection.children if c.name.startswith(STAGE)]:
        data = [obj.data for obj in collection.objects]
        bpy.data.batch_remove([*collection.objects, collection])
        bpy.data.batch_remove([d for d in data if d is not None and d.users == 0])
    if scene.world is not None and scene.world.name.startswith(STAGE) and scene.world.users == 1:
        bpy.data.worlds.remove(scene.world)
