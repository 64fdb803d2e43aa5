"""The page of the forced-choice study: plain HTML that needs no server and saves the answers as CSV."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

QUESTION = (
    "Which recording exhibits more natural eyeball movements with fewer artifacts, such as exaggerated movements, "
    "static poses and motion jitter?"
)
"""The question of the paper's study (TalkingEyes, Section V-C.2)."""

CSV_COLUMNS = ("participant", "trial", "left", "right", "chosen", "seconds")


def page_html(trials: list[tuple[str, str]], seed: int) -> str:
    """The page for pairs of film code names.

    Order and sides are shuffled by the participant's name and ``seed``: the same for the same participant, another
    time another, and nothing in the page tells which film is whose.
    """
    # Sorted, so that the order within a pair tells nothing either.
    pairs = sorted(sorted(pair) for pair in trials)
    return _PAGE.replace("@PAIRS@", json.dumps(pairs)).replace("@SEED@", str(int(seed))).replace(
        "@QUESTION@", QUESTION
    ).replace("@COLUMNS@", json.dumps(list(CSV_COLUMNS)))  # fmt: skip


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Which eyes move more naturally?</title>
<style>
body { font: 17px/1.5 sans-serif; max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem; color: #222; }
.films { display: flex; gap: 1rem; }
.films figure { flex: 1; margin: 0; text-align: center; }
video { width: 100%; background: #ddd; }
button { font: inherit; padding: .5rem 1.6rem; margin: .3rem; cursor: pointer; }
button:disabled { cursor: default; opacity: .4; }
#error { color: #a00; }
[hidden] { display: none !important; }
</style>
<section id="start">
<h1>Which eyes move more naturally?</h1>
<p>You will see pairs of short films of a head that speaks. Watch both, with sound, as often as you like, then choose.
There is no right answer. Please answer all pairs in one go.</p>
<p><label>Your name or number: <input id="participant" autofocus></label> <button id="begin">Begin</button></p>
</section>
<section id="trial" hidden>
<p id="count"></p>
<p>@QUESTION@</p>
<div class="films">
<figure><video id="left" playsinline preload="auto"></video><button id="choose-left">A</button></figure>
<figure><video id="right" playsinline preload="auto" muted></video><button id="choose-right">B</button></figure>
</div>
<p><button id="play">Play both</button></p>
<p id="error"></p>
</section>
<section id="end" hidden>
<h1>Thank you</h1>
<p>Please save your answers and send the file to whoever asked you.</p>
<p><button id="save">Save the answers</button></p>
</section>
<script>
"use strict";
const PAIRS = @PAIRS@, SEED = @SEED@, COLUMNS = @COLUMNS@;
const at = id => document.getElementById(id);

// 32 bits of a text (FNV-1a), and a small generator of chance from them (mulberry32).
function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) { h ^= text.charCodeAt(i); h = Math.imul(h, 16777619); }
  return h >>> 0;
}
function chance(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6D2B79F5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
function arrange(participant) {
  const random = chance(hash(SEED + "|" + participant));
  const order = PAIRS.map(pair => random() < .5 ? [pair[0], pair[1]] : [pair[1], pair[0]]);
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

let participant = "", order = [], number = 0, began = 0, answers = [], seen = {left: false, right: false};

function show() {
  at("start").hidden = true;
  if (number >= order.length) { at("trial").hidden = true; at("end").hidden = false; return; }
  at("trial").hidden = false;
  at("error").textContent = "";
  at("count").textContent = "Pair " + (number + 1) + " of " + order.length;
  seen = {left: false, right: false};
  for (const [side, film] of [["left", order[number][0]], ["right", order[number][1]]]) {
    at(side).src = "films/" + film + ".mp4";
    at("choose-" + side).disabled = true;
  }
  began = performance.now();
}
function play() {
  for (const side of ["left", "right"]) { at(side).currentTime = 0; at(side).play(); }
}
for (const side of ["left", "right"]) {
  // One can answer when both have been seen to the end.
  at(side).onended = () => {
    seen[side] = true;
    if (seen.left && seen.right) for (const s of ["left", "right"]) at("choose-" + s).disabled = false;
  };
  at(side).onerror = () => {
    at("error").textContent = "The film could not be played: films/ must lie beside this page.";
  };
  at("choose-" + side).onclick = () => {
    const [left, right] = order[number];
    answers.push([participant, number + 1, left, right, side === "left" ? left : right,
                  ((performance.now() - began) / 1000).toFixed(1)]);
    number++;
    show();
  };
}
at("play").onclick = play;
at("begin").onclick = () => {
  participant = at("participant").value.trim().replace(/[^\\p{L}\\p{N}_.-]+/gu, "_");
  if (!participant) { at("participant").focus(); return; }
  order = arrange(participant);
  show();
};
at("save").onclick = () => {
  const text = [COLUMNS, ...answers].map(row => row.join(",")).join("\\n") + "\\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
  link.download = "answers-" + participant + ".csv";
  link.click();
};
window.onbeforeunload = event => { if (answers.length && at("end").hidden) event.preventDefault(); };
</script>
</html>
"""
