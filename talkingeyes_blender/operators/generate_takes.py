"""Generate Takes: several at once, each with a seed of its own; what they have in common is worked out once."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import bpy

from ..translation import rpt_
from . import jobs, subject, writing
from .generate import Generate, GeneratePlan

if TYPE_CHECKING:
    from ..motion import Motion
    from ..rig.steps import Steps

MAXIMUM_SEED = 2**31 - 1


class GenerateTakes(jobs.JobOperator, bpy.types.Operator):
    """Generate several takes at once, cheaper than one by one: the newest plays, the others are kept muted"""

    bl_idname = "talkingeyes.generate_takes"
    bl_label = "Generate Takes"

    edited = "KEEP"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return Generate.disabled_reason(context)

    def plan(self, context: bpy.types.Context) -> TakesPlan:
        one = Generate.plan(self, context)
        seeds = new_seeds(context, context.scene.talkingeyes_takes.batch)
        task = dataclasses.replace(one.task, task="generate_takes", pieces=False, seed=seeds[0], seeds=tuple(seeds))
        return TakesPlan(**{f.name: getattr(one, f.name) for f in dataclasses.fields(one)} | {"task": task})


def new_seeds(context: bpy.types.Context, count: int) -> list[int]:
    """Return the next seeds from the chosen one on that no take of the head has."""
    used = {take.seed for take in subject.takes_of(context)}
    seeds, seed = [], context.scene.talkingeyes.seed
    while len(seeds) < count:
        if seed not in used:
            seeds.append(seed)
        seed = seed + 1 if seed < MAXIMUM_SEED else 0
    return seeds


@dataclasses.dataclass(frozen=True)
class TakesPlan(GeneratePlan):
    """Like one take, but several: all of them are written, or none."""

    def steps(self, context: bpy.types.Context, motions: list[Motion]) -> Steps[str]:
        from ..rig.take_records import weights_in

        scene, rig, strip, heard = self.destination()
        pieces = [self.piece(scene, strip, heard, motion) for motion in motions]
        weights = weights_in(self.task.bundle)
        takes = yield from writing.write_all(scene, rig, pieces, self.strengths, keep_previous=True, weights=weights)
        seeds = f"{takes[0].seed} to {takes[-1].seed}" if len(takes) > 1 else str(takes[0].seed)
        said = rpt_(
            "{count} takes of {duration:.1f} s, seeds {seeds}, were written",
            count=len(takes),
            duration=motions[0].duration,
            seeds=seeds,
        )
        return self.finish(scene, rig, strip, motions[-1], takes[-1].warnings, said)


CLASSES = (GenerateTakes,)
