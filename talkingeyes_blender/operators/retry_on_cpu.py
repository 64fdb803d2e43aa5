"""Retry on CPU: the job that the graphics card had no memory for, once more on the processor."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import bpy

from ..translation import rpt_
from . import jobs


class RetryOnCPU(jobs.JobOperator, bpy.types.Operator):
    """Run the job that ran out of graphics memory again on the processor, which takes longer"""

    bl_idname = "talkingeyes.retry_on_cpu"
    bl_label = "Retry on CPU"

    @classmethod
    def disabled_reason(cls, context: bpy.types.Context) -> str | None:
        return super().disabled_reason(context) or (
            None if jobs.to_retry() is not None else rpt_("No job ran out of graphics memory.")
        )

    def plan(self, context: bpy.types.Context) -> jobs.Plan:
        plan = jobs.to_retry()
        return dataclasses.replace(plan, task=dataclasses.replace(plan.task, device="cpu"))


CLASSES = (RetryOnCPU,)
