"""What a head's surface looks like: materials, which face has which, and colour for the viewport."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy
import numpy as np

from ..head.model import HeadModel, Material

TINT = "Tint"
"""Colour attribute on points: factor on the material's colour."""
COLOR = "Color"
"""Colour attribute on face corners: material colour times tint, which Workbench shows in its Attribute mode."""

_PLAIN = Material("skin", (0.60, 0.33, 0.23), roughness=0.55, subsurface=0.2)
_INSIDE = (0.03, 0.006, 0.006)
_SUBSURFACE_RADIUS = (1.0, 0.3, 0.15)
_SUBSURFACE_SCALE = 0.008


def apply_looks(mesh: bpy.types.Mesh, head: HeadModel) -> None:
    """Give a mesh made from ``head``, its faces in the head's order, materials and colour attributes."""
    materials, of_face = _materials(head)
    # FLAME's mouth is a hole: through it one sees the inside of the skull, which must not be as pale as skin.
    hollow = "mouth" not in {look.name for look in materials}
    for look in materials:
        mesh.materials.append(_material(look, head.vertex_tint is not None, hollow))
    mesh.polygons.foreach_set("material_index", of_face.astype(np.int32))
    vertex_of_corner = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", vertex_of_corner)
    corners = np.where(head.faces[:, 3] < 0, 3, 4)
    color = np.array([look.color for look in materials])[np.repeat(of_face, corners)]
    if head.vertex_tint is not None:
        color = color * head.vertex_tint[vertex_of_corner]
        _attribute(mesh, TINT, "POINT", head.vertex_tint)
    mesh.color_attributes.active_color = _attribute(mesh, COLOR, "CORNER", color)


def _materials(head: HeadModel) -> tuple[tuple[Material, ...], np.ndarray]:
    """(materials, (F,) index of each face's) as the head says; one plain skin where it says nothing."""
    if head.face_material is not None and head.materials:
        return head.materials, np.asarray(head.face_material)
    return (_PLAIN,), np.zeros(len(head.faces), np.int32)


def _material(look: Material, tinted: bool, hollow: bool) -> bpy.types.Material:
    material = bpy.data.materials.new(look.name)
    material.diffuse_color = (*look.color, 1.0)
    material.roughness = look.roughness
    if material.node_tree is None:
        material.use_nodes = True
    tree = material.node_tree
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*look.color, 1.0)
    shader.inputs["Roughness"].default_value = look.roughness
    if look.subsurface:
        shader.inputs["Subsurface Weight"].default_value = look.subsurface
        shader.inputs["Subsurface Radius"].default_value = _SUBSURFACE_RADIUS
        shader.inputs["Subsurface Scale"].default_value = _SUBSURFACE_SCALE
    if look.emission:
        shader.inputs["Emission Color"].default_value = (*look.color, 1.0)
        shader.inputs["Emission Strength"].default_value = look.emission
    color = None
    if tinted:
        tint = tree.nodes.new("ShaderNodeVertexColor")
        tint.layer_name = TINT
        color = _mix(tree, "MULTIPLY", None, look.color, tint.outputs["Color"])
        tint.location = (color.node.location.x - 200, color.node.location.y)
    if hollow:
        behind = tree.nodes.new("ShaderNodeNewGeometry")
        color = _mix(tree, "MIX", behind.outputs["Backfacing"], color or look.color, _INSIDE)
        behind.location = (color.node.location.x - 200, color.node.location.y + 200)
    if color is not None:
        tree.links.new(color, shader.inputs["Base Color"])
    return material


def _mix(tree: bpy.types.NodeTree, blend: str, factor, first, second) -> bpy.types.NodeSocket:
    """A node that mixes two colours, given as numbers or sockets; a factor of None is 1. Returns its output."""
    node = tree.nodes.new("ShaderNodeMix")
    node.data_type, node.blend_type = "RGBA", blend
    node.location = (-200 - 200 * len(tree.nodes), 300)
    colors = [socket for socket in node.inputs if socket.type == "RGBA"]
    for socket, color in zip(colors, (first, second), strict=True):
        if isinstance(color, bpy.types.NodeSocket):
            tree.links.new(color, socket)
        else:
            socket.default_value = (*color, 1.0)
    if factor is None:
        node.inputs[0].default_value = 1.0
    else:
        tree.links.new(factor, node.inputs[0])
    return next(socket for socket in node.outputs if socket.type == "RGBA")


def _attribute(mesh: bpy.types.Mesh, name: str, domain: str, rgb: np.ndarray) -> bpy.types.Attribute:
    attribute = mesh.color_attributes.new(name, "FLOAT_COLOR", domain)
    rgba = np.concatenate([rgb, np.ones((len(rgb), 1))], 1).astype(np.float32)
    attribute.data.foreach_set("color", rgba.ravel())
    return attribute
