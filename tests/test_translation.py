"""Strings for the user: literals that Blender's translation system can pick up, and sentences made of templates."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import re
import string
import types
from pathlib import Path

import bpy
import pytest

from talkingeyes_blender import translation
from talkingeyes_blender.translation import rpt_

PACKAGE = Path(__file__).resolve().parents[1] / "talkingeyes_blender"
SOURCES = (
    *sorted((PACKAGE / "operators").glob("*.py")),
    *sorted((PACKAGE / "panels").glob("*.py")),
    *(PACKAGE / f"{name}.py" for name in ("properties", "take_properties", "mapping_properties", "preferences")),
)
MARKED = ("rpt_", "n_")
DRAWN = ("text", "placeholder", "heading", "name", "description", "title", "confirm_text")
"""Keywords whose literals Blender translates itself."""


def is_prose(text: str) -> bool:
    return " " in text.strip() and re.search(r"[A-Za-z]{2}", text) is not None


def called(node: ast.AST) -> str:
    function = getattr(node, "func", None)
    return getattr(function, "id", None) or getattr(function, "attr", "")


def faults(source: str) -> list[str]:
    """What of the strings of a module a translator could not get at, with line numbers."""
    tree = ast.parse(source)
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    def climb(node: ast.AST):
        while node in above:
            node = above[node]
            yield node

    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) in MARKED:
            literal = node.args[0] if len(node.args) == 1 else None
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                asked = {field for _, field, _, _ in string.Formatter().parse(literal.value) if field is not None}
                if called(node) == "rpt_" and asked != {keyword.arg for keyword in node.keywords}:
                    found.append(f"{node.lineno}: {literal.value!r} is not given what it asks for")
            elif isinstance(literal, (ast.JoinedStr, ast.BinOp)):
                found.append(f"{node.lineno}: what is marked is no literal")
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            kind = "a formatted string"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text, kind = node.value, "an unmarked sentence"
        else:
            continue
        parents = list(climb(node))
        if not is_prose(text) or any(isinstance(parent, (ast.JoinedStr, ast.Compare)) for parent in parents):
            continue
        if any(isinstance(p, ast.Call) and called(p) in (*MARKED, "AssertionError") for p in parents):
            continue
        if any(isinstance(p, ast.Call) and isinstance(p.func, ast.Attribute) and ast.unparse(p.func.value) == "log"
               for p in parents):  # fmt: skip
            continue
        keyword = next((p.arg for p in parents if isinstance(p, ast.keyword)), None)
        if kind == "a formatted string":
            if keyword != "name":  # the name of a new data-block is data, and no property's
                found.append(f"{node.lineno}: {kind}: {text!r}")
            continue
        inside = any(isinstance(p, (ast.FunctionDef, ast.Lambda)) for p in parents)
        if inside and not isinstance(parents[0], (ast.Expr, ast.Tuple)) and keyword not in DRAWN:
            found.append(f"{node.lineno}: {kind}: {text!r}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_translator_gets_at_every_string(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        'return f"{count} takes were removed."',
        'return "The scene has no strip."',
        'raise TalkingEyesError("No head is chosen.", rpt_("Choose one."))',
        'layout.label(text=f"{count} not selected")',
        'return rpt_("{count} takes", number=3)',
        'return rpt_(f"{count} takes")',
        'return rpt_("a strip of " + name)',
    ],
)
def test_what_it_would_not_get_at_is_found(line):
    assert len(faults(f"def f():\n    {line}")) == 1


def test_blenders_own_tool_gathers_them():
    """A release carries its translations as a dictionary that is made with this tool."""
    extract = pytest.importorskip("_bl_i18n_utils.bl_extract_messages")
    from _bl_i18n_utils import settings

    gathered: dict = {}
    files = [str(path) for path in SOURCES]
    extract.dump_py_messages_from_files(gathered, extract._gen_reports(None), files, settings.I18nSettings())
    known = {text for _, text in gathered}
    for text in ("'{name}' is the head now.", "No head is chosen.", "Keep It, Muted", "Takes of This Strip"):
        assert text in known


WORDS = {
    "'{name}' is the head now.": "Der Kopf ist jetzt '{name}'.",
    "The take '{name}' does not hold its motion.": "Die Aufnahme '{nam}' hat keine Bewegung.",
    "No part is switched on.": "Kein Teil ist an.",
}


@pytest.fixture
def german(monkeypatch):
    """Blender's look-up of messages, which the module from PyPI is built without."""
    reading = types.SimpleNamespace(pgettext_rpt=lambda text: WORDS.get(text, text))
    monkeypatch.setattr(translation, "translations", reading)


def test_sentences_follow_the_language(german):
    assert rpt_("'{name}' is the head now.", name="Ada") == "Der Kopf ist jetzt 'Ada'."
    assert rpt_("No part is switched on.") == "Kein Teil ist an."
    assert rpt_("'{name}' has no take.", name="Ada") == "'Ada' has no take."


def test_a_slip_in_a_translation_costs_no_sentence(german):
    assert rpt_("The take '{name}' does not hold its motion.", name="A") == "The take 'A' does not hold its motion."


@pytest.mark.skipif(not bpy.app.build_options.international, reason="this build of Blender has no translations")
def test_a_registered_dictionary_changes_what_the_user_reads():
    from talkingeyes_blender.operators.generate import Generate
    from talkingeyes_blender.panels.resample import ResamplePanel

    say, view = bpy.app.translations, bpy.context.preferences.view
    words = {("*", text): word for text, word in WORDS.items()}
    words |= {("*", ResamplePanel.bl_label): "Neu ziehen", ("Operator", Generate.bl_label): "Erzeugen"}
    before = view.language
    say.register("talkingeyes_test", {"de_DE": words})
    try:
        view.language = "de_DE"
        assert say.pgettext_iface(ResamplePanel.bl_label) == "Neu ziehen"
        assert say.pgettext_iface(Generate.bl_label, "Operator") == "Erzeugen"
        assert rpt_("'{name}' is the head now.", name="Ada") == "Der Kopf ist jetzt 'Ada'."
    finally:
        view.language = before
        say.unregister("talkingeyes_test")
