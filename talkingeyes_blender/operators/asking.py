"""Operators that would lose what somebody edited by hand: in a window they ask first, elsewhere they keep it."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bpy

from ..translation import n_
from . import jobs


class AsksAboutEdits:
    """Before others in the bases of an operator whose ``would_lose`` says what may be lost.

    ``edited`` is what the user answered. Unasked, as in a script, it is 'KEEP': nothing edited is lost.
    """

    edited: bpy.props.EnumProperty(
        name="Edited Takes",
        description="What becomes of a take that was edited by hand",
        items=(
            ("ASK", "Ask", "Ask in a window; keep it elsewhere"),
            ("KEEP", "Keep It, Muted", "It stays as it is, muted"),
            ("LOSE", "Lose the Edits", "What was edited by hand goes away"),
        ),
        default="ASK",
        options={"HIDDEN", "SKIP_SAVE"},
    )
    keep_text = n_("Keep It, Muted")
    lose_text = n_("Remove It with the Edits")

    def would_lose(self, context: bpy.types.Context) -> str:
        """One sentence about what would be lost, or ''."""
        raise NotImplementedError

    def hand_on(self, again: bpy.types.OperatorProperties) -> None:
        """Give the operator that the user starts by answering the properties of this one."""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.edited == "ASK" and not bpy.app.background and context.window is not None:
            danger = self.would_lose(context)
            if danger:
                self._ask(context, danger)
                return {"CANCELLED"}
        return super().invoke(context, event) if isinstance(self, jobs.JobOperator) else self.execute(context)

    def _ask(self, context: bpy.types.Context, danger: str) -> None:
        name, hand_on = self.bl_idname, self.hand_on
        answers = (("KEEP", self.keep_text, "CHECKMARK"), ("LOSE", self.lose_text, "TRASH"))
        values: list[tuple[str, object]] = []

        class Noted:
            """Takes down what is to be handed on: the operator itself is gone when the menu is drawn."""

            def __setattr__(self, key: str, value: object) -> None:
                values.append((key, value))

        hand_on(Noted())

        def draw(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
            layout = menu.layout
            layout.operator_context = "INVOKE_DEFAULT"
            layout.label(text=danger)
            layout.separator()
            for answer, text, icon in answers:
                again = layout.operator(name, text=text, icon=icon)
                again.edited = answer
                for key, value in values:
                    setattr(again, key, value)

        context.window_manager.popup_menu(draw, title=self.bl_label, icon="ERROR")
