"""From phones to the visible mouth: jaw and expression of the stand-in head.

Cohen and Massaro (Modeling coarticulation in synthetic visual speech, 1993): each sound has a target and a dominance
for each articulator; dominance falls exponentially away from the sound, and the pose is the mean of all targets
weighted by dominance. Two things admit no compromise and are laid over it (as in JALI, Edwards et al., 2016): lips are
shut on p, b, m, and the lower lip meets the teeth on f, v. Computed at 200 Hz, sampled at 25.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from ...head.arkit import EXPRESSIONS, INDEX, MOUTH_CLOSE_JAW_DEGREES
from ...motion import FPS
from .phones import CLASSES, CLOSED_LIPS, SILENCE
from .prosody import HZ as PROSODY_HZ
from .prosody import Prosody

HZ = 200
JAW_DEGREES = 16.5
"""Opening of a jaw target of 1; coarticulation leaves 12 to 14 degrees of it on an open vowel."""

ARTICULATORS = ("jaw", "pucker", "funnel", "spread", "lower", "upper")

_TARGETS = {
    # class          jaw   pucker funnel spread lower upper | dominance: jaw round shape
    SILENCE:        (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.60, 0.40, 0.40),
    "plosive_lips": (0.05, 0.05, 0.00, 0.08, 0.00, 0.00, 2.00, 0.15, 0.35),
    "nasal_lips":   (0.06, 0.05, 0.00, 0.08, 0.00, 0.00, 1.80, 0.15, 0.35),
    "lip_teeth":    (0.10, 0.00, 0.05, 0.20, 0.00, 0.20, 1.60, 0.35, 0.60),
    "dental":       (0.21, 0.00, 0.00, 0.22, 0.20, 0.05, 0.80, 0.20, 0.30),
    "alveolar":     (0.19, 0.00, 0.00, 0.22, 0.18, 0.05, 0.65, 0.12, 0.25),
    "lateral":      (0.28, 0.00, 0.00, 0.18, 0.22, 0.05, 0.60, 0.15, 0.25),
    "sibilant":     (0.06, 0.00, 0.00, 0.50, 0.35, 0.18, 1.80, 0.45, 0.90),
    "postalveolar": (0.08, 0.25, 0.65, 0.05, 0.20, 0.18, 1.80, 1.00, 0.60),
    "velar":        (0.27, 0.00, 0.00, 0.12, 0.12, 0.02, 0.35, 0.10, 0.15),
    "r":            (0.22, 0.20, 0.45, 0.05, 0.10, 0.05, 0.60, 0.80, 0.40),
    "w":            (0.12, 1.00, 0.10, 0.00, 0.00, 0.00, 1.00, 1.80, 1.00),
    "j":            (0.14, 0.00, 0.00, 0.70, 0.15, 0.06, 0.75, 0.70, 0.90),
    "h":            (0.36, 0.00, 0.00, 0.10, 0.15, 0.03, 0.12, 0.05, 0.05),
    "a":            (1.00, 0.00, 0.00, 0.22, 0.60, 0.16, 1.25, 0.80, 0.70),
    "ae":           (0.90, 0.00, 0.00, 0.55, 0.65, 0.28, 1.25, 0.90, 0.90),
    "uh":           (0.58, 0.00, 0.00, 0.20, 0.40, 0.08, 1.00, 0.70, 0.60),
    "aw":           (0.72, 0.35, 0.35, 0.00, 0.25, 0.04, 1.10, 1.10, 0.80),
    "eh":           (0.54, 0.00, 0.00, 0.50, 0.48, 0.16, 1.00, 0.80, 0.80),
    "schwa":        (0.32, 0.03, 0.00, 0.20, 0.22, 0.04, 0.60, 0.35, 0.35),
    "e":            (0.40, 0.00, 0.00, 0.65, 0.36, 0.13, 1.00, 0.90, 0.90),
    "ih":           (0.26, 0.00, 0.00, 0.50, 0.26, 0.08, 0.90, 0.80, 0.80),
    "i":            (0.17, 0.00, 0.00, 0.95, 0.22, 0.12, 1.05, 1.00, 1.20),
    "o":            (0.45, 0.75, 0.25, 0.00, 0.08, 0.00, 1.00, 1.20, 0.90),
    "oo":           (0.28, 0.55, 0.15, 0.00, 0.08, 0.00, 0.90, 1.00, 0.80),
    "u":            (0.16, 1.00, 0.05, 0.00, 0.00, 0.00, 1.00, 1.40, 1.00),
    "er":           (0.33, 0.20, 0.40, 0.05, 0.14, 0.05, 0.90, 0.90, 0.70),
    "y":            (0.17, 0.85, 0.10, 0.08, 0.00, 0.00, 1.00, 1.30, 0.80),
}  # fmt: skip
_DOMINANCE = np.array([6, 7, 7, 8, 8, 8])
"""Which dominance column each articulator uses."""
_TABLE = np.array([_TARGETS[name] for name in CLASSES])
_INDEX = {name: i for i, name in enumerate(CLASSES)}

_SHUT_AFTER = 0.15
"""In a silence of this many seconds the mouth reaches rest."""
_SETTLE = 0.11
"""Seconds that closing after, and opening before, speech take in a long silence."""

Segment = tuple[float, float, str]


@dataclasses.dataclass(frozen=True)
class Manner:
    """What differs from speaker to speaker."""

    jaw: float = 1.0
    side: float = 0.0
    """Share by which the subject's left moves more than the right."""
    rounding: float = 1.0
    spreading: float = 1.0
    brows: float = 1.0
    smile: float = 0.25
    """Share of spreading that lifts the corners."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Manner:
        return cls(
            jaw=rng.uniform(0.94, 1.06), side=float(np.clip(rng.normal(0, 0.06), -0.15, 0.15)),
            rounding=rng.uniform(0.92, 1.06), spreading=rng.uniform(0.9, 1.1), brows=rng.uniform(0.7, 1.15),
            smile=rng.uniform(0.15, 0.35),
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Gestures:
    """Curves of n samples at 200 Hz, each 0 to 1."""

    blended: np.ndarray
    """(6, n): ``ARTICULATORS``."""
    closure: np.ndarray
    press: np.ndarray
    """How firmly the lips are pressed: p and b more than m."""
    lip_teeth: np.ndarray
    tongue: np.ndarray
    activity: np.ndarray
    """1 in speech, 0 at rest."""


def _plateau(time: np.ndarray, start: float, end: float, core: float, width: float) -> np.ndarray:
    """1 over the middle ``core`` of a sound, then a bell's flank of ``width`` seconds."""
    away = np.maximum(np.abs(time - (start + end) / 2) - core * (end - start) / 2, 0)
    return np.exp(-((away / width) ** 2))


def gestures(segments: list[Segment], duration: float) -> Gestures:
    """Gestures of (start, end, visible class) segments over ``duration`` seconds."""
    n = int(np.ceil(duration * HZ)) + HZ // 5
    weighted = np.zeros((6, n))
    total = np.full((6, n), 1e-6)
    closure, press, lip_teeth, tongue = np.zeros((4, n))
    for start, end, name in segments:
        first, last = max(0, int((start - 0.45) * HZ)), min(n, int((end + 0.45) * HZ) + 1)
        time = np.arange(first, last) / HZ
        middle, half = (start + end) / 2, (end - start) / 2
        away = np.maximum(np.abs(time - middle) - 0.6 * half, 0)
        falling = np.exp(-away / (0.035 + 0.25 * half))
        # Lips round ahead of time, more than they linger.
        rounding = np.where(time < middle, np.exp(-away / (0.055 + 0.25 * half)), falling)
        scale = min(1.0, 2 * half / 0.12) if name == SILENCE else 1.0
        row = _TABLE[_INDEX[name]]
        for k in range(6):
            strength = scale * row[_DOMINANCE[k]] * (rounding if k in (1, 2) else falling)
            weighted[k, first:last] += strength * row[k]
            total[k, first:last] += strength
        part = slice(first, last)
        if name in CLOSED_LIPS:
            shut = _plateau(time, start, end, 0.7, 0.030)
            closure[part] = np.maximum(closure[part], shut)
            firm = (1.0 if name == "plosive_lips" else 0.6) * _plateau(time, start, end, 0.4, 0.035)
            press[part] = np.maximum(press[part], firm)
        elif name == "lip_teeth":
            lip_teeth[part] = np.maximum(lip_teeth[part], _plateau(time, start, end, 0.6, 0.035))
        elif name == "dental":
            tongue[part] = np.maximum(tongue[part], _plateau(time, start, end, 0.5, 0.035))
        elif name == "lateral":
            tongue[part] = np.maximum(tongue[part], 0.25 * _plateau(time, start, end, 0.5, 0.035))
    return Gestures(weighted / total, closure, press, lip_teeth, tongue, _activity(segments, n))


def _activity(segments: list[Segment], n: int) -> np.ndarray:
    """1 in speech; in silences it sinks, all the way if they are long enough."""
    activity = np.zeros(n)
    sounds = sorted((s, e) for s, e, name in segments if name != SILENCE)
    if not sounds:
        return activity
    runs = [list(sounds[0])]
    for start, end in sounds[1:]:
        if start - runs[-1][1] > 0.02:
            runs.append([start, end])
        else:
            runs[-1][1] = max(runs[-1][1], end)
    time = np.arange(n) / HZ
    edges = [-1e3, *(t for run in runs for t in run), 1e3]
    for start, end in runs:
        activity[(time >= start) & (time <= end)] = 1.0
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        gap = right - left
        settle = min(_SETTLE, 0.45 * gap)
        inside = (time > left) & (time < right)
        away = np.minimum(time[inside] - left, right - time[inside])
        u = np.clip(away / settle, 0, 1)
        depth = np.clip((gap - 0.04) / (_SHUT_AFTER - 0.04), 0, 1)
        activity[inside] = 1.0 - depth * u * u * (3 - 2 * u)
    return activity


def _accent_curve(prosody: Prosody, n: int, gain) -> np.ndarray:
    """Sum of smooth pulses at the accents, of ``gain(strength, rise)`` and 300 to 600 ms, clipped to 0..1."""
    curve = np.zeros(n)
    for time, strength, rise in prosody.accents:
        height = gain(strength, rise)
        if height <= 0:
            continue
        length = 0.3 + 0.3 * strength
        centre = time - 0.02
        first, last = max(0, int((centre - length / 2) * HZ)), min(n, int((centre + length / 2) * HZ) + 1)
        phase = (np.arange(first, last) / HZ - centre) / length
        curve[first:last] = np.maximum(curve[first:last], height * np.cos(np.pi * np.clip(phase, -0.5, 0.5)) ** 2)
    return gaussian_filter1d(curve, 0.025 * HZ)


def pose_mouth(segments: list[Segment], prosody: Prosody, frames: int, manner: Manner) -> tuple[np.ndarray, np.ndarray]:
    """Return ``expression`` (T, 41) in 0..1 and ``jaw`` (T, 3) in radians, frame t at t/25 s."""
    g = gestures(segments, frames / FPS)
    n = g.activity.size
    time = np.arange(n) / HZ
    loudness = np.interp(time, np.arange(len(prosody.loudness)) / PROSODY_HZ, prosody.loudness)
    effort = np.clip(1.0 + 0.020 * gaussian_filter1d(loudness, 0.08 * HZ), 0.8, 1.15)

    closure, lip_teeth = g.closure * g.activity, g.lip_teeth * g.activity
    jaw, pucker, funnel, spread, lower, upper = gaussian_filter1d(g.blended, 0.008 * HZ, axis=1) * g.activity
    jaw = jaw * effort * manner.jaw * (1.0 - 0.75 * closure)
    free = 1.0 - np.maximum(closure, 0.9 * lip_teeth)
    spread = spread * manner.spreading * (0.9 + 0.1 * effort)
    curves = {
        "jaw": jaw,
        "closure": closure,
        "mouthPucker": 0.85 * pucker * manner.rounding,
        "mouthFunnel": 0.85 * funnel * manner.rounding * (1.0 - 0.8 * closure),
        "mouthStretch": 0.34 * spread,
        "mouthSmile": (0.12 + manner.smile) * 0.7 * spread,
        "mouthDimple": 0.20 * spread * (1.0 - np.clip(jaw, 0, 1)),
        "mouthLowerDown": 0.75 * lower * free * effort,
        "mouthUpperUp": np.maximum(0.8 * upper * effort * (1.0 - closure), 0.16 * lip_teeth),
        "mouthPress": 0.32 * g.press * g.activity,
        "mouthRollLower": np.maximum(0.30 * g.press * g.activity, 0.60 * lip_teeth),
        "mouthRollUpper": 0.28 * g.press * g.activity,
        "mouthShrugLower": 0.15 * lip_teeth,
        "jawForward": 0.16 * funnel,
        "tongueOut": 0.20 * g.tongue * g.activity * (1.0 - closure),
        "cheekSquint": 0.35 * np.clip((0.12 + manner.smile) * 0.7 * spread - 0.05, 0, 1),
        "browInnerUp": manner.brows * _accent_curve(prosody, n, lambda s, rise: 0.5 * s if rise > 0.4 else 0.0),
        "browOuterUp": manner.brows * _accent_curve(prosody, n, lambda s, rise: 0.38 * s * (s > 0.3) * (rise > 0.4)),
        # Stress by loudness while the pitch stays low knits the brows.
        "browDown": manner.brows * _accent_curve(prosody, n, lambda s, rise: 0.35 * s if rise < -0.2 else 0.0),
    }
    # A closure lasts two frames or fewer: it keeps its peak within 10 ms of each frame.
    for name in ("closure", "mouthPress", "mouthRollLower", "mouthRollUpper"):
        curves[name] = maximum_filter1d(curves[name], 5)
    step = int(HZ / FPS)
    at = np.minimum(np.arange(frames) * step, n - 1)
    sampled = {name: curve[at] for name, curve in curves.items()}
    degrees = JAW_DEGREES * sampled.pop("jaw")
    shut = sampled.pop("closure")
    # Lips meet when mouthClose makes up for the jaw; on f and v the lower lip rises part of the way.
    sampled["mouthClose"] = np.maximum(shut, 0.35 * lip_teeth[at]) * degrees / MOUTH_CLOSE_JAW_DEGREES
    expression = np.zeros((frames, len(EXPRESSIONS)))
    for name, curve in sampled.items():
        if name in INDEX:
            expression[:, INDEX[name]] = curve
        else:
            expression[:, INDEX[name + "Left"]] = curve * (1.0 + manner.side)
            expression[:, INDEX[name + "Right"]] = curve * (1.0 - manner.side)
    rotation = np.zeros((frames, 3))
    rotation[:, 0] = np.radians(degrees)
    return np.clip(expression, 0.0, 1.0).astype(np.float32), rotation.astype(np.float32)
