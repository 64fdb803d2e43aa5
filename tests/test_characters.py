"""Character presets: ours and the user's, on disk and by the operators, and files that somebody damaged."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from talkingeyes_blender import characters
from talkingeyes_blender.errors import TalkingEyesError


def test_ours_hold_every_setting():
    assert len(characters.BUILT_IN) >= 6
    for settings in characters.BUILT_IN.values():
        assert set(settings) == set(characters.FIELDS)


def test_own_ones_come_back_and_go(tmp_path):
    settings = characters.BUILT_IN["Calm, Speaking"] | {"blink_rate": 11.5}
    for name in ("Ann / tired: 2", "Ann _ tired_ 2", "Žofie"):
        characters.save(tmp_path / "presets", name, settings)
    assert characters.own_names(tmp_path / "presets") == ["Ann / tired: 2", "Ann _ tired_ 2", "Žofie"]
    assert characters.read(tmp_path / "presets", "Ann / tired: 2") == settings
    characters.save(tmp_path / "presets", "Žofie", settings | {"blink_rate": 3.0})
    assert characters.read(tmp_path / "presets", "Žofie")["blink_rate"] == 3.0
    characters.remove(tmp_path / "presets", "Ann / tired: 2")
    assert characters.own_names(tmp_path / "presets") == ["Ann _ tired_ 2", "Žofie"]
    assert {path.suffix for path in (tmp_path / "presets").iterdir()} == {".json"}


@pytest.mark.parametrize("name", ["", "  ", "As Generated"])
def test_names_that_cannot_be(tmp_path, name):
    with pytest.raises(TalkingEyesError):
        characters.save(tmp_path, name, characters.BUILT_IN["As Generated"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x"}', '{"name": 3, "version": "a", "settings": {}}'])
def test_damaged_files_say_so_and_can_be_deleted(tmp_path, text):
    (tmp_path / "broken.json").write_text(text)
    (name,) = characters.own_names(tmp_path)
    with pytest.raises(TalkingEyesError, match=r"broken\.json"):
        characters.read(tmp_path, name)
    characters.remove(tmp_path, name)
    assert characters.own_names(tmp_path) == []


def test_a_newer_file_is_not_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"version": 99, "name": "a", "settings": {}}))
    with pytest.raises(TalkingEyesError, match="newer version"):
        characters.read(tmp_path, "a")
    for name in ("b", "As Generated"):
        with pytest.raises(TalkingEyesError):
            characters.remove(tmp_path, name)
