"""Where the eyes look in a conversation: gaze in space, as shifts and fixations tied to what is being said.

Amplitudes, directions and durations are tables measured on 2.75 h of speaking and 4.37 h of listening by 19 people
(psyberlab/eye-gaze-during-conversation-dataset, Apache-2.0; Dembinsky et al., ETRA 2024, doi 10.1145/3649902.3653337).
When one looks at the partner follows Argyle and Cook (41 % of the time while speaking, 75 % while listening) and
Kendon's observation that speakers look away as a phrase begins and back as it ends. Saccades follow the main sequence:
25 ms plus 2.4 ms a degree, with a bell-shaped velocity.

Angles here are degrees about the direction of the partner: pitch + down, yaw + to the subject's left (the signs of
FLAME's eyes). The data's azimuth is + to the viewer's right, its elevation + up.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d

HZ = 200

_LEVELS = np.array(
    [0, 2.5, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 99, 100]
) / 100  # fmt: skip
_AMPLITUDES = {
    True: (0.01, 0.1, 0.15, 0.23, 0.3, 0.38, 0.47, 0.6, 0.78, 1.04, 1.46, 1.9, 2.46, 3.05, 3.86, 5.87, 8.9, 11.5,
           14.77, 18.05, 20.06, 23.28, 25.88, 28.51, 32.0),
    False: (0.01, 0.1, 0.14, 0.2, 0.26, 0.31, 0.37, 0.43, 0.51, 0.61, 0.73, 0.9, 1.12, 1.4, 1.75, 2.18, 2.72, 3.24,
            3.82, 4.89, 7.36, 10.29, 14.79, 24.49, 32.0),
}  # fmt: skip
"""Quantiles of shift amplitude in degrees at ``_LEVELS``, speaking and listening; the top is cut at 32."""
_DIRECTION_EDGES = (5.0, 12.0)
_DIRECTIONS = {
    True: ((13.9, 5.5, 12.5, 9.7, 17.3, 11.3, 19.3, 10.5), (24.6, 8.2, 9.1, 8.2, 26.5, 7.5, 9.5, 6.3),
           (29.2, 8.3, 3.4, 6.4, 29.8, 10.7, 5.2, 7.1)),
    False: ((12.8, 4.1, 14.9, 9.7, 15.6, 8.5, 23.2, 11.4), (29.5, 5.5, 8.0, 5.5, 31.9, 6.9, 7.6, 5.2),
            (40.0, 5.1, 2.2, 3.9, 35.0, 5.1, 2.7, 6.1)),
}  # fmt: skip
"""Shares of directions 0, 45 .. 315 degrees (0 = viewer's right, 90 = up) for shifts to 5, 12 and more degrees."""
_CYCLE_LEVELS = np.array([0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100]) / 100
_CYCLES = {
    True: (0.222, 0.289, 0.322, 0.366, 0.411, 0.455, 0.500, 0.566, 0.644, 0.755, 0.977, 1.266, 2.0, 2.7),
    False: (0.222, 0.300, 0.333, 0.389, 0.444, 0.489, 0.544, 0.600, 0.688, 0.799, 0.999, 1.221, 2.0, 2.7),
}  # fmt: skip
"""Quantiles of the time from one fixation's start to the next in seconds (the detector's gaps count as fixation)."""

ON_PARTNER = 5.5
"""Degrees about the middle of the partner's face within which one looks at it: half a face at a metre."""
_REACH = np.array([15.0, 24.0])
"""How far down or up, and aside, gaze goes."""


@dataclasses.dataclass(frozen=True)
class Shift:
    start: float
    duration: float
    amplitude: float
    """Degrees."""
    target: tuple[float, float]
    """Pitch (+ down) and yaw (+ left) in degrees about the partner."""


@dataclasses.dataclass(frozen=True)
class Manner:
    """A person's habits."""

    favourites: tuple[tuple[float, float], ...]
    """Where this person likes to look when looking away (pitch, yaw)."""
    aversion: float
    """Factor on the length of looks away."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Manner:
        count = int(rng.integers(2, 4))
        sides = rng.choice([-1.0, 1.0], count)
        favourites = tuple((float(rng.normal(-1, 7)), float(s * rng.uniform(8, 17))) for s in sides)
        return cls(favourites, float(rng.uniform(0.9, 1.1)))


# -- when ------------------------------------------------------------------------------------------


def partner_plan(
    phrases: tuple[tuple[float, float], ...], duration: float, rng: np.random.Generator, aversion: float = 1.0
) -> list[tuple[float, bool]]:
    """Times at which one turns to the partner (True) or away (False), in order, from one's own phrases."""
    away: list[tuple[float, float]] = []
    for index, (start, end) in enumerate(phrases):
        length = end - start
        before = start - (phrases[index - 1][1] if index else 0.0)
        if rng.random() < 0.88:
            # Planning: away just before the first word, back as the end comes near.
            lead = min(rng.uniform(0.05, 0.35), 0.8 * before)
            until = start + length * np.clip(rng.uniform(0.35, 0.70) * aversion, 0.1, 0.95)
            if length > 4.0:
                # Long phrases are planned in parts, with a glance at the partner between.
                middle = start + length * rng.uniform(0.3, 0.45)
                away.append((start - lead, middle))
                away.append((middle + rng.uniform(0.6, 1.2), until))
            else:
                away.append((start - lead, until))
        following = phrases[index + 1][0] if index + 1 < len(phrases) else None
        if following is not None and 0.25 < following - end < 1.6 and rng.random() < 0.35:
            # A pause in which words are sought: away until the words come.
            away.append((end + rng.uniform(0.05, 0.25), following))
    # Listening: mostly at the partner, with short looks away.
    edges = [0.0, *(t for phrase in phrases for t in phrase), duration]
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        if right - left < 2.0:
            continue
        time = left + rng.exponential(3.0) + (0.4 if left > 0 else 0.0)
        while time < right - 0.6:
            length = min(rng.gamma(3.0, 0.5) * aversion, right - time - 0.2)
            away.append((time, time + length))
            time += length + 2.0 + rng.exponential(6.0)
    plan: list[tuple[float, bool]] = []
    reached = -1.0
    for start, end in sorted(away):
        start = max(start, 0.0, reached + 0.35 if start > reached else start)
        if end <= max(start, reached) + 0.15:
            continue
        if plan and start <= reached + 0.01:
            plan[-1] = (end, True)
        else:
            plan += [(start, False), (end, True)]
        reached = end
    return plan


# -- where -----------------------------------------------------------------------------------------


class _Deck:
    """Shift vectors drawn ahead in equal shares of their distribution; each is used once, when it fits best.

    So the distribution of what is used is that of the data, whatever the plan asks for. What is left in the hand at a
    sequence's end are mostly the sizes that the plan seldom asks for; ``_SKEW`` makes up for it, set so that the used
    ones have the data's median, mean and 95th percentile.
    """

    _SIZE = {True: 26, False: 18}
    _SKEW = {True: 1.06, False: 0.88}

    def __init__(self, speaking: bool, rng: np.random.Generator) -> None:
        self._speaking = speaking
        self._rng = rng
        self._stock: list[tuple[float, float]] = []
        self._hand: list[list[float]] = []

    def _refill(self) -> None:
        while len(self._hand) < self._SIZE[self._speaking]:
            if not self._stock:
                levels = ((self._rng.permutation(16) + self._rng.random(16)) / 16) ** self._SKEW[self._speaking]
                amplitudes = np.interp(levels, _LEVELS, _AMPLITUDES[self._speaking])
                self._stock = [(a, self._direction(a)) for a in amplitudes]
            self._hand.append([*self._stock.pop(), 0.0])

    def _direction(self, amplitude: float) -> float:
        shares = np.array(_DIRECTIONS[self._speaking][np.searchsorted(_DIRECTION_EDGES, amplitude)])
        return float(self._rng.choice(8, p=shares / shares.sum()) * 45.0)

    def draw(self, here: np.ndarray, cost) -> np.ndarray:
        """The best landing point from ``here``; ``cost`` maps (n, 2) landing points to n costs."""
        self._refill()
        hand = np.array(self._hand)
        spread = self._rng.uniform(-22.0, 22.0, (len(hand), 3))
        angle = np.radians(hand[:, 1, None] + spread)
        amplitude = hand[:, 0, None]
        # The data's right is the subject's right, so yaw is its negative; its up is negative pitch.
        landing = here + np.stack([-amplitude * np.sin(angle), -amplitude * np.cos(angle)], -1)
        costs = cost(landing.reshape(-1, 2)).reshape(landing.shape[:2])
        costs = costs - 0.15 * hand[:, 2, None] - self._rng.gumbel(0, 0.4, costs.shape)
        best = np.unravel_index(np.argmin(costs), costs.shape)
        for entry in self._hand:
            entry[2] += 1.0
        self._hand.pop(int(best[0]))
        return landing[best]


def gaze_shifts(
    phrases: tuple[tuple[float, float], ...], duration: float, manner: Manner, rng: np.random.Generator
) -> list[Shift]:
    """The shifts of one sequence in order; gaze starts at the partner, at (0, 0)."""
    decks = {state: _Deck(state, rng) for state in (True, False)}
    # A run that is thrown away fills the decks' hands with what is usually left over; without it the shifts that are
    # hard to place, the large ones, would be too few.
    for _ in range(2):
        shifts = _one_run(phrases, duration, manner, decks, rng)
    return shifts


def _one_run(
    phrases: tuple[tuple[float, float], ...],
    duration: float,
    manner: Manner,
    decks: dict[bool, _Deck],
    rng: np.random.Generator,
) -> list[Shift]:
    plan = partner_plan(phrases, duration, rng, manner.aversion)
    favourites = np.array(manner.favourites)
    here = np.zeros(2)
    shifts: list[Shift] = []
    time, at_partner, next_turn = 0.0, True, 0
    while True:
        speaking = any(a - 0.4 <= time <= b + 0.3 for a, b in phrases)
        dwell = float(np.interp(rng.random(), _CYCLE_LEVELS, _CYCLES[speaking]))
        last = shifts[-1].duration if shifts else 0.0
        following = time + max(dwell, last + 0.12)
        if at_partner and np.hypot(*here) > ON_PARTNER:
            following = time + last + rng.uniform(0.12, 0.25)  # a shift that fell short is corrected soon
        if next_turn < len(plan) and plan[next_turn][0] < following:
            following = max(plan[next_turn][0] + rng.uniform(0.0, 0.06), time + last + 0.10)
            at_partner = plan[next_turn][1]
            next_turn += 1
        time = following
        if time >= duration - 0.05:
            return shifts
        cost = _partner_cost if at_partner else lambda points: _away_cost(points, favourites)
        target = decks[speaking].draw(here, cost)
        amplitude = float(np.hypot(*(target - here)))
        shifts.append(Shift(time, 0.025 + 0.0024 * amplitude, amplitude, (float(target[0]), float(target[1]))))
        here = target


def _out_of_reach(points: np.ndarray) -> np.ndarray:
    return 30.0 * np.maximum(np.abs(points) / _REACH - 1.0, 0).sum(1)


def _partner_cost(points: np.ndarray) -> np.ndarray:
    return 1.5 * np.maximum(np.hypot(*points.T) - 2.0, 0) + _out_of_reach(points)


def _away_cost(points: np.ndarray, favourites: np.ndarray) -> np.ndarray:
    near = np.hypot(*(points[:, None] - favourites).transpose(2, 0, 1)).min(1)
    return 1.2 * np.maximum(ON_PARTNER + 1.0 - np.hypot(*points.T), 0) + 0.06 * near + _out_of_reach(points)


def gaze_path(shifts: list[Shift], duration: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 2) pitch and yaw in degrees about the partner at 200 Hz: holds, shifts and a fixation's small drift."""
    n = int(np.ceil(duration * HZ)) + HZ // 5
    path = np.zeros((n, 2))
    here = np.zeros(2)
    for shift in shifts:
        target = np.array(shift.target)
        first = round(shift.start * HZ)
        steps = max(2, round(shift.duration * HZ))
        u = np.linspace(0, 1, steps + 1)[1:, None]
        # Minimum jerk: the bell-shaped velocity of a saccade.
        moving = here + (target - here) * (10 * u**3 - 15 * u**4 + 6 * u**5)
        length = min(steps, n - first)
        path[first : first + length] = moving[:length]
        path[first + length :] = target
        here = target
    drift = gaussian_filter1d(np.cumsum(rng.normal(0, 0.008, (n, 2)), axis=0), 4, axis=0)
    return path + drift - gaussian_filter1d(drift, 0.5 * HZ, axis=0)


def is_on_partner(path: np.ndarray) -> np.ndarray:
    """Whether each point of a path lies on the partner's face."""
    return np.hypot(path[..., 0], path[..., 1]) <= ON_PARTNER
