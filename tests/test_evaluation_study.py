"""The forced-choice study and the command 'evaluate': from data to page, from answers to p-values."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from _datasets import tiny_sequence

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.head import arkit
from talkingeyes_blender.motion import Motion
from talkingeyes_blender.training.__main__ import main
from talkingeyes_blender.training.dataset import write_description, write_sequence
from talkingeyes_blender.training.evaluation.page import CSV_COLUMNS, page_html
from talkingeyes_blender.training.evaluation.preference import Preference, preference_text, read_answers


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    sequences = [tiny_sequence(f"s{i:02d}", f"subject{i}", seconds=4.0, seed=i) for i in range(7)]
    for sequence in sequences:
        write_sequence(folder, sequence)
    splits = {f"subject{i}": "validation" if i == 0 else "test" if i in (1, 2) else "train" for i in range(7)}
    write_description(folder, head_model=arkit.STANDIN, subjects={s.id: s.subject for s in sequences}, splits=splits)
    return folder


@pytest.fixture(scope="module")
def comparison(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "comparison"
    assert main(["compare", "--data", str(corpus), "--out", str(out), "--clips", "2", "--seconds", "2"]) == 0
    return out


def answers(path, comparison, choose, participant="p1"):
    found = json.loads((comparison / "comparison.json").read_text())
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(CSV_COLUMNS)
        number = 0
        for clip in found["clips"]:
            for name, code in clip["codes"].items():
                if name != "ours":
                    number += 1
                    ours = clip["codes"]["ours"]
                    sides = [ours, code] if number % 2 else [code, ours]
                    writer.writerow([participant, number, *sides, ours if choose(name) else code, 9.5])
    return path


class TestCompare:
    def test_only_the_eyes_differ(self, comparison):
        found = json.loads((comparison / "comparison.json").read_text())
        for clip in found["clips"]:
            motions = {name: Motion.load(comparison / "motions" / f"{c}.npz") for name, c in clip["codes"].items()}
            assert set(motions) == {"ours", "mean", "random", "similar"}
            for name, motion in motions.items():
                np.testing.assert_array_equal(motion.head, motions["ours"].head)
                np.testing.assert_array_equal(motion.expression, motions["ours"].expression)
                assert name == "ours" or not np.array_equal(motion.eyes, motions["ours"].eyes)
            assert np.ptp(motions["mean"].eyes, axis=0).max() == 0
            assert (comparison / clip["sound"]).stat().st_size > 2 * 16000 * 2

    def test_the_page_knows_the_films_and_not_whose_they_are(self, comparison):
        page = (comparison / "page.html").read_text()
        pairs = json.loads(re.search(r"const PAIRS = (\[.*?\]), SEED", page).group(1))
        found = json.loads((comparison / "comparison.json").read_text())
        expected = {
            frozenset((clip["codes"]["ours"], code))
            for clip in found["clips"] for name, code in clip["codes"].items() if name != "ours"
        }  # fmt: skip
        assert {frozenset(pair) for pair in pairs} == expected and len(pairs) == len(expected)
        assert pairs == sorted(pairs) and all(pair == sorted(pair) for pair in pairs)
        assert not any(title in page for title in found["titles"].values() if title not in ("Mean", "Random"))

    def test_a_comparison_is_not_made_over_another(self, corpus, comparison, capsys):
        assert main(["compare", "--data", str(corpus), "--out", str(comparison)]) == 1
        assert "holds a comparison already" in capsys.readouterr().err

    @pytest.mark.skipif(not shutil.which("node"), reason="no node to run the page's script")
    def test_the_pages_shuffling_is_seeded_and_fair(self):
        page = page_html([(f"a{i}", f"b{i}") for i in range(8)], seed=3)
        script = page.split("<script>")[1].split("</script>")[0].split("let participant")[0]
        script = script.replace("const at = id => document.getElementById(id);", "")
        script += """
        const again = JSON.stringify(arrange("p")) === JSON.stringify(arrange("p"));
        let left = 0, first = 0;
        for (let p = 0; p < 2000; p++) {
          const order = arrange("person" + p);
          left += order.filter(pair => pair[0][0] === "a").length;
          first += order[0].includes("a0") ? 1 : 0;
          if (new Set(order.map(pair => pair.slice().sort().join())).size !== 8) throw "a pair is missing";
        }
        console.log(JSON.stringify([again, left / 16000, first / 2000]));
        """
        run = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
        again, left, first = json.loads(run.stdout)
        assert again and abs(left - 0.5) < 0.02 and abs(first - 1 / 8) < 0.03


class TestPreference:
    def test_counts_percentages_and_p(self, comparison, tmp_path):
        files = [
            answers(tmp_path / "a.csv", comparison, lambda name: True, "p1"),
            answers(tmp_path / "b.csv", comparison, lambda name: name == "mean", "p2"),
        ]
        found = {one.baseline: one for one in read_answers(files, comparison)}
        assert (found["mean"].ours, found["mean"].answers, found["mean"].participants) == (4, 4, 2)
        assert found["random"].percentage == 50 and found["random"].p_value == 1
        text = preference_text(list(found.values()))
        assert "| Mean | 100 |" in text and "85 (3.3e-09)" in text

    def test_the_p_value_is_binomial(self):
        # 17 of 20: 2 * (C(20,17) + C(20,18) + C(20,19) + 1) / 2^20
        assert Preference("mean", "Mean", 17, 20, 5).p_value == pytest.approx(2 * (1140 + 190 + 20 + 1) / 2**20)
        low, high = Preference("mean", "Mean", 85, 100, 5).interval
        assert 76 < low < 78 and 90 < high < 92

    def test_what_is_wrong_with_answers_is_said(self, comparison, tmp_path):
        whole = answers(tmp_path / "a.csv", comparison, lambda name: True)
        twice = answers(tmp_path / "again.csv", comparison, lambda name: True)
        lines = whole.read_text().splitlines()
        cases = {
            "both of the participant": [whole, twice],
            "lacks the columns": [write(tmp_path / "1.csv", "name,colour\nx,red\n")],
            "not of the comparison": [write(tmp_path / "2.csv", lines[0] + "\np9,1,x,y,x,3\n")],
            "was not shown": [write(tmp_path / "3.csv", lines[0] + "\n" + ",".join([*lines[1].split(",")[:4], "z,1"]))],
            "is cut off": [write(tmp_path / "4.csv", "\n".join(lines[:2]) + "\np1,2,abc\n")],
            "hold no answers": [write(tmp_path / "5.csv", lines[0] + "\n")],
            "could not be read": [tmp_path / "absent.csv"],
        }
        for words, files in cases.items():
            with pytest.raises(TalkingEyesError, match=words):
                read_answers(files, comparison)
        with pytest.raises(TalkingEyesError, match=r"comparison\.json could not be read"):
            read_answers([whole], tmp_path)


def write(path, text):
    path.write_text(text)
    return path


class TestEvaluate:
    def test_the_starter_weights_beside_the_baselines(self, corpus, tmp_path, capsys):
        out = tmp_path / "figures.json"
        command = ["evaluate", "--data", str(corpus), "--clips", "2", "--takes", "2", "--seconds", "2"]
        assert main([*command, "--json", str(out)]) == 0
        text = capsys.readouterr().out
        assert "| Mean | 0.000 [0.000, 0.000]" in text and "LVE" in text and "sampled codes" in text
        assert "train its networks" in text
        found = json.loads(out.read_text())
        names = [method["name"] for method in found["methods"]]
        assert names[:4] == ["Recorded", "Mean", "Random", "Similar Sample"] and len(names) == 6
        assert len(found["methods"][1]["values"]["eyes"]["diversity"]) == 2
        assert found["face"]["lve_mm"][0] > 0

    def test_what_is_missing_is_said(self, corpus, tmp_path, capsys):
        command = ["evaluate", "--data", str(corpus), "--clips", "2", "--takes", "2", "--seconds", "2"]
        assert main([*command, "--out", str(tmp_path)]) == 1
        assert "none of the stages" in capsys.readouterr().err
        assert main([*command, "--correlation", str(tmp_path)]) == 1
        assert "no correlation network" in capsys.readouterr().err
        assert main([*command[:-4], "--takes", "1"]) == 1
        assert "two takes" in capsys.readouterr().err
