"""Renders the stand-in head in many poses to one contact sheet, to be looked at: docs/standin.png.

    python tools/standin_sheet.py [--out docs/standin.png] [--only front,smile] [--size 180] [--columns 10]
                                  [--engine EEVEE|WORKBENCH] [--head FILE.npz] [--distance METRES] [--target X Y Z]

Needs Blender's ``bpy`` module and Pillow. The mesh is posed by ``head.skinning``, so this shows the head itself and
not a rig.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from talkingeyes_blender.head.arkit import EXPRESSIONS, INDEX  # noqa: E402
from talkingeyes_blender.head.model import LID_FOLLOW_DEGREES, HeadModel  # noqa: E402
from talkingeyes_blender.head.reading import read_head  # noqa: E402
from talkingeyes_blender.head.skinning import pose_vertices  # noqa: E402
from talkingeyes_blender.head.standin import STANDIN_FILE  # noqa: E402
from talkingeyes_blender.head.standin_character import IDENTITY_SHAPES  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Shot:
    """One picture: what the face does and where the camera stands (degrees to the subject's left, and up)."""

    shapes: dict[str, float] = dataclasses.field(default_factory=dict)
    jaw: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    """Degrees to the subject's left, and up."""
    blink: float | tuple[float, float] = 0.0
    neck: tuple[float, float, float] = (0.0, 0.0, 0.0)
    azimuth: float = 0.0
    elevation: float = 0.0
    identity: dict[str, float] = dataclasses.field(default_factory=dict)


def pair(name: str, value: float = 1.0) -> dict[str, float]:
    return {name + "Left": value, name + "Right": value}


SPOKEN_AND_FELT = (  # label, degrees of the jaw, shapes: one mouth for each class of speech sounds, and some moods
    ("m b p", 0, pair("mouthPress", 0.6)),
    ("f v", 0.5, {"mouthRollLower": 0.7, **pair("mouthUpperUp", 0.4)}),
    ("th", 5, {"tongueOut": 0.35, **pair("mouthLowerDown", 0.3)}),
    ("t d n", 4, pair("mouthStretch", 0.3)),
    ("k g", 6, pair("mouthLowerDown", 0.3)),
    ("sh ch", 3, {"mouthFunnel": 0.8}),
    ("s z", 1.5, pair("mouthStretch", 0.5) | pair("mouthLowerDown", 0.35) | pair("mouthUpperUp", 0.2)),
    ("r", 3, {"mouthPucker": 0.35, "mouthFunnel": 0.4}),
    ("aa", 16, {}),
    ("eh", 9, pair("mouthStretch", 0.4)),
    ("ih", 5, pair("mouthSmile", 0.35) | pair("mouthLowerDown", 0.2)),
    ("oh", 11, {"mouthFunnel": 0.55, "mouthPucker": 0.25}),
    ("oo", 4, {"mouthPucker": 0.75, "mouthFunnel": 0.3}),
    ("laugh", 11, pair("mouthSmile", 0.9) | pair("cheekSquint", 0.8) | pair("mouthUpperUp", 0.3)),
    ("sad", 0, pair("mouthFrown", 0.8) | {"browInnerUp": 0.9}),
    ("angry", 0, pair("browDown") | pair("noseSneer", 0.6) | pair("mouthPress", 0.5)),
    ("surprised", 11, {"browInnerUp": 0.8, "mouthFunnel": 0.2, **pair("browOuterUp", 0.9), **pair("eyeWide", 0.9)}),
)


def shots() -> dict[str, Shot]:
    """Everything on the sheet, by its label."""
    table = {
        "front": Shot(),
        "three-quarter": Shot(azimuth=35),
        "side": Shot(azimuth=90),
        "other three-quarter": Shot(azimuth=-40, elevation=8),
        "back": Shot(azimuth=140, elevation=5),
        "from below": Shot(azimuth=20, elevation=-28),
    }
    for degrees in (10, 20, 30):
        table[f"jaw {degrees}"] = Shot(jaw=degrees, azimuth=20)
    table |= {
        "jaw 10, shut": Shot({"mouthClose": 1.0}, jaw=10, azimuth=20),
        "jaw 20, smile": Shot(pair("mouthSmile"), jaw=20, azimuth=20),
        "jaw 10, funnel": Shot({"mouthFunnel": 1.0}, jaw=10, azimuth=20),
        "neck left 30": Shot(neck=(0, 30, 0)),
        "neck right 30": Shot(neck=(0, -30, 0)),
        "neck down 25": Shot(neck=(25, 0, 0), azimuth=60),
        "neck up 30": Shot(neck=(-30, 0, 0), azimuth=60),
        "neck aside 20": Shot(neck=(0, 0, 20)),
    }
    for amount in (0.0, 0.25, 0.5, 0.75, 1.0):
        table[f"blink {amount}"] = Shot(blink=amount, azimuth=15)
    table["wink"] = Shot(blink=(1.0, 0.0), shapes=pair("mouthSmile", 0.5) | {"cheekSquintLeft": 0.7}, azimuth=20)
    for label, gaze in {
        "look ahead": (0, 0), "look left": (25, 0), "look right": (-25, 0), "look up": (0, 18), "look down": (0, -22),
        "look up left": (20, 14), "look up right": (-20, 14),
        "look down left": (20, -18), "look down right": (-20, -18),
    }.items():  # fmt: skip
        table[label] = Shot(gaze=gaze)
    for label, jaw, shapes in SPOKEN_AND_FELT:
        table[label] = Shot(shapes, jaw, azimuth=18)
    table["smile"] = Shot(pair("mouthSmile"))
    table["neck, gaze stays"] = Shot(neck=(8, 28, 6), gaze=(-12, 0))
    for name in IDENTITY_SHAPES:
        table[name] = Shot(identity={name: 1.5}, azimuth=20)
    table["someone else"] = Shot(identity={"wide jaw": 1, "strong brow": 1.2, "long chin": 1, "wide nostrils": 1})
    for name in EXPRESSIONS:
        if not name.startswith("eyeBlink"):
            table[name] = Shot({name: 1.0}, jaw={"mouthClose": 10, "tongueOut": 14}.get(name, 0), azimuth=12)
    return table


def posed(head: HeadModel, shot: Shot) -> np.ndarray:
    """(V, 3) vertices of the head in a shot, lids following the gaze."""
    expression = np.zeros(head.expressions)
    for name, value in shot.shapes.items():
        expression[INDEX[name]] = value
    shape = np.array([shot.identity.get(name, 0.0) for name in head.shape_names])
    pose = np.zeros((5, 3))
    eye = (-shot.gaze[1], shot.gaze[0], 0)
    pose[1:] = np.radians([shot.neck, (shot.jaw, 0, 0), eye, eye])
    lids = np.broadcast_to(np.asarray(shot.blink, float), 2)
    down = np.clip(-shot.gaze[1] / LID_FOLLOW_DEGREES, -0.8, 1.4) * (1 - lids)
    return pose_vertices(head, shape=shape, expression=expression, pose=pose, lids=lids, lid_follow=down)


class Studio:
    """A scene with the head's mesh, lights and a camera; the mesh stays Y-up as the head is."""

    TARGET = Vector((0, 0.014, -0.03))

    def __init__(self, head: HeadModel, engine: str, size: int, distance: float) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.head, self.distance = head, distance
        self.scene = bpy.context.scene
        self.mesh = self._build_mesh()
        self.camera = self._add("camera", bpy.data.cameras.new("camera"))
        self.camera.data.lens, self.camera.data.clip_start = 85, 0.01
        self.scene.camera = self.camera
        self.scene.render.resolution_x = self.scene.render.resolution_y = size
        self.scene.view_settings.view_transform = "Standard"
        self.scene.world = bpy.data.worlds.new("world")
        if engine == "EEVEE":
            self._light_eevee()
        else:
            self._light_workbench()

    def _add(self, name: str, data) -> bpy.types.Object:
        item = bpy.data.objects.new(name, data)
        bpy.context.collection.objects.link(item)
        return item

    def _build_mesh(self) -> bpy.types.Mesh:
        head = self.head
        mesh = bpy.data.meshes.new("head")
        mesh.from_pydata(head.vertices.tolist(), [], [[int(i) for i in face if i >= 0] for face in head.faces])
        for number, material in enumerate(head.materials):
            made = bpy.data.materials.new(material.name)
            made.use_nodes = True
            shader = made.node_tree.nodes["Principled BSDF"]
            tint = made.node_tree.nodes.new("ShaderNodeVertexColor")
            tint.layer_name = "color"
            made.node_tree.links.new(tint.outputs[0], shader.inputs["Base Color"])
            shader.inputs["Roughness"].default_value = material.roughness
            shader.inputs["Subsurface Weight"].default_value = material.subsurface
            shader.inputs["Subsurface Radius"].default_value = (1, 0.3, 0.15)
            shader.inputs["Subsurface Scale"].default_value = 0.008
            shader.inputs["Emission Color"].default_value = (1, 1, 1, 1)
            shader.inputs["Emission Strength"].default_value = material.emission
            mesh.materials.append(made)
            assert number == len(mesh.materials) - 1
        mesh.polygons.foreach_set("material_index", head.face_material.astype(np.int32))
        mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
        corners = np.zeros(len(mesh.loops), np.int32)
        mesh.loops.foreach_get("vertex_index", corners)
        sizes = (head.faces >= 0).sum(1)
        base = np.array([material.color for material in head.materials])[np.repeat(head.face_material, sizes)]
        colour = np.concatenate([base * head.vertex_tint[corners], np.ones((len(corners), 1))], 1)
        layer = mesh.color_attributes.new("color", "FLOAT_COLOR", "CORNER")
        layer.data.foreach_set("color", colour.astype(np.float32).ravel())
        mesh.color_attributes.active_color = layer
        mesh.update()
        self._add("head", mesh)
        return mesh

    def _light_workbench(self) -> None:
        self.scene.render.engine = "BLENDER_WORKBENCH"
        shading = self.scene.display.shading
        shading.light, shading.studio_light, shading.color_type = "STUDIO", "paint.sl", "VERTEX"
        shading.show_cavity, shading.cavity_type, shading.background_type = True, "BOTH", "WORLD"
        shading.cavity_ridge_factor, shading.cavity_valley_factor = 0.5, 0.7
        self.scene.world.color = (0.55, 0.6, 0.66)

    def _light_eevee(self) -> None:
        self.scene.render.engine = "BLENDER_EEVEE"
        self.scene.eevee.taa_render_samples = 16
        self.scene.world.use_nodes = True
        nodes = self.scene.world.node_tree.nodes
        background = nodes.get("Background") or nodes.new("ShaderNodeBackground")
        background.inputs[0].default_value = (0.62, 0.70, 0.80, 1)
        background.inputs[1].default_value = 0.55
        for place, energy, size, colour in (
            ((-0.7, 0.7, 0.9), 16, 0.7, (1, 0.94, 0.86)),
            ((0.9, 0.2, 0.7), 6, 0.9, (0.85, 0.92, 1)),
            ((0.3, 0.8, -0.9), 14, 0.6, (1, 0.95, 0.9)),
        ):
            light = bpy.data.lights.new("light", "AREA")
            light.energy, light.size, light.color = energy, size, colour
            lamp = self._add("light", light)
            lamp.location = place
            lamp.rotation_mode = "QUATERNION"
            lamp.rotation_quaternion = (-Vector(place)).to_track_quat("-Z", "Y")

    def take(self, shot: Shot, path: Path) -> None:
        """Render one shot to ``path``."""
        self.mesh.vertices.foreach_set("co", posed(self.head, shot).astype(np.float32).ravel())
        self.mesh.update()
        azimuth, elevation = math.radians(shot.azimuth), math.radians(shot.elevation)
        back = Vector((
            math.sin(azimuth) * math.cos(elevation), math.sin(elevation), math.cos(azimuth) * math.cos(elevation)
        ))  # fmt: skip
        right = Vector((0, 1, 0)).cross(back).normalized()
        rotation = Matrix((right, back.cross(right), back)).transposed().to_4x4()
        self.camera.matrix_world = Matrix.Translation(self.TARGET + self.distance * back) @ rotation
        self.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)


HEROES = ("front", "three-quarter", "laugh")
"""Shots that open the sheet, large and in EEVEE; the rest is Workbench's, which is quick and shows the form."""


def montage(heroes: list[Path], pictures: list[tuple[str, Path]], columns: int) -> Image.Image:
    """One image: the heroes in a row over all labelled pictures."""
    size = Image.open(pictures[0][1]).width
    width = size * columns
    large = width // max(len(heroes), 1)
    top = large if heroes else 0
    sheet = Image.new("RGB", (width, top + size * -(-len(pictures) // columns)), (160, 168, 178))
    for i, path in enumerate(heroes):
        sheet.paste(Image.open(path).convert("RGB").resize((large, large), Image.Resampling.LANCZOS), (i * large, 0))
    for i, (label, path) in enumerate(pictures):
        picture = Image.open(path).convert("RGB")
        ImageDraw.Draw(picture).text((5, 3), label, fill=(25, 25, 30), stroke_width=2, stroke_fill=(225, 230, 236))
        sheet.paste(picture, (i % columns * size, top + i // columns * size))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "standin.png")
    parser.add_argument("--only", default="", help="labels, separated by commas; LABEL* takes all that begin so")
    parser.add_argument("--size", type=int, default=180)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--engine", choices=("EEVEE", "WORKBENCH"), default="WORKBENCH")
    parser.add_argument("--head", type=Path, default=STANDIN_FILE)
    parser.add_argument("--distance", type=float, default=0.52)
    parser.add_argument("--target", type=float, nargs=3, default=None)
    options = parser.parse_args()
    table = shots()
    wanted = [label.strip() for label in options.only.split(",") if label.strip()]
    chosen = [k for w in wanted or ["*"] for k in table if k == w or (w.endswith("*") and k.startswith(w[:-1]))]
    head = read_head(options.head)
    with tempfile.TemporaryDirectory() as folder:
        heroes = []
        if not wanted:
            studio = Studio(head, "EEVEE", options.size * options.columns // len(HEROES), 0.66)
            for label in HEROES:
                heroes.append(Path(folder) / f"{label}.png")
                studio.take(table[label], heroes[-1])
        studio = Studio(head, options.engine, options.size, options.distance)
        if options.target:
            studio.TARGET = Vector(options.target)
        pictures = []
        for i, label in enumerate(chosen):
            pictures.append((label, Path(folder) / f"{i:03d}.png"))
            studio.take(table[label], pictures[-1][1])
        sheet = montage(heroes, pictures, options.columns)
    if not wanted:
        sheet = sheet.point(lambda level: min(255, (level + 2) // 4 * 4))  # 64 levels compress to two thirds
    sheet.save(options.out, optimize=True)


if __name__ == "__main__":
    main()
