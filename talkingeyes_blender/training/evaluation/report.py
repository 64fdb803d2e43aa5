"""What a reproduction found: ours beside the paper's figures, the orderings one by one, times, a plot, JSON."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math
from pathlib import Path

from ...errors import TalkingEyesError
from ...files import written_whole
from .intervals import spread
from .reproduce import RECORDED, read_scores, read_times, write_json
from .tables import COLUMNS, ORDERINGS, Means, Ordering, Table, needed_rows

Found = dict[str, dict[int, Means]]
"""Row to seed to figures."""


def collect(out: Path, tables: list[Table], seeds: list[int]) -> Found:
    """The figures of all rows that are finished, for the seeds that are there.

    Raises:
        TalkingEyesError: not one row is finished.
    """
    found: Found = {}
    for row in [RECORDED, *needed_rows(tables)]:
        for seed in seeds:
            scores = read_scores(out, seed, row)
            if scores is not None:
                found.setdefault(row, {})[seed] = {
                    f"{figure}_{channel}": scores.mean(channel, figure)
                    for channel, figures in scores.values.items()
                    for figure in figures
                }
    if not found:
        raise TalkingEyesError(f"{out} holds no finished row.", "Run reproduce on it first.")
    return found


def figures(found: Found, row: str, column: str) -> list[float]:
    """One value a seed, of the seeds that have it."""
    return [means[column] for _, means in sorted(found.get(row, {}).items()) if column in means]


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    mean, deviation = spread(values)
    return f"{mean:.4f}" + ("" if math.isnan(deviation) else f" ± {deviation:.4f}")


def table_text(table: Table, found: Found) -> str:
    """A Markdown table: for each figure ours (mean ± deviation over seeds) and the paper's."""
    head = [table.title] + [part for column in table.columns for part in (COLUMNS[column], "paper")]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in table.rows:
        cells = [row.title]
        for number, column in enumerate(table.columns):
            cells += [
                _cell(figures(found, row.key, column)), f"{row.paper[number]:.5f}" if row.paper else ""
            ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    recorded = ["recorded motion"]
    for column in table.columns:
        recorded += [_cell(figures(found, RECORDED, column)), ""]
    lines.append("| " + " | ".join(recorded) + " |")
    return "\n".join(lines)


def check(ordering: Ordering, found: Found) -> dict | None:
    """How an ordering came out: in how many seeds, with means and spread; None where a row is missing."""
    larger, smaller = (found.get(row, {}) for row in ordering.rows)
    seeds = [s for s in sorted(larger) if ordering.figure in larger[s] and ordering.figure in smaller.get(s, {})]
    if not seeds:
        return None
    pairs = [(larger[s][ordering.figure], smaller[s][ordering.figure]) for s in seeds]
    held = [bool(ordering.holds(*pair)) for pair in pairs]
    verdict = "came out" if all(held) else "did not come out" if not any(held) else "came out in some seeds"
    return {
        "ordering": ordering.text, "figure": ordering.figure, "rows": list(ordering.rows), "verdict": verdict,
        "seeds_held": sum(held), "seeds": len(held), "first": list(spread([p[0] for p in pairs])),
        "second": list(spread([p[1] for p in pairs])), "difference": list(spread([p[0] - p[1] for p in pairs])),
    }  # fmt: skip


def checklist_text(found: Found) -> str:
    """The orderings, each with its verdict, the figures of both rows and in how many seeds it held."""
    lines = []
    for ordering in ORDERINGS:
        result = check(ordering, found)
        if result is None:
            lines.append(f"- [?] {ordering.text}: not measured")
            continue
        mark = {"came out": "x", "did not come out": " "}.get(result["verdict"], "~")
        larger, smaller = ordering.rows
        name = COLUMNS[ordering.figure]
        lines.append(
            f"- [{mark}] {ordering.text}: {result['verdict']} ({result['seeds_held']} of {result['seeds']} seeds); "
            f"{name} {larger} {_cell(figures(found, larger, ordering.figure))}, "
            f"{smaller} {_cell(figures(found, smaller, ordering.figure))}"
        )
    return "\n".join(lines)


def times_text(out: Path, seeds: list[int]) -> str:
    """Seconds and throughput of each training, mean over the seeds that have it."""
    times = [read_times(out, seed) for seed in seeds]
    names = list(dict.fromkeys(name for found in times for name in found))
    lines = ["| training | steps | minutes | hours of motion an hour |", "|---|---|---|---|"]
    total = 0.0
    for name in names:
        entries = [found[name] for found in times if name in found]
        minutes, _ = spread([e["seconds"] / 60 for e in entries])
        rate, _ = spread([e["hours_of_motion_an_hour"] for e in entries])
        total += minutes
        lines.append(f"| {name} | {entries[0]['steps']} | {minutes:.1f} | {rate:.0f} |")
    lines.append(f"| all, one after another, a seed | | {total:.0f} | |")
    return "\n".join(lines)


def write_report(out: Path, tables: list[Table], seeds: list[int], setting: str) -> str:
    """Write tables.md, tables.json and tables.png into ``<out>/report`` and return the text."""
    found = collect(out, tables, seeds)
    there = sorted({seed for by_seed in found.values() for seed in by_seed})
    parts = [f"Setting '{setting}', seeds {', '.join(map(str, there))}; mean ± standard deviation over seeds."]
    parts += [table_text(table, found) for table in tables]
    parts += ["What the paper's figures order:\n\n" + checklist_text(found), times_text(out, seeds)]
    text = "\n\n".join(parts) + "\n"
    folder = out / "report"
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / ".tables.md.part"
    beside.write_text(text, encoding="utf-8")
    beside.replace(folder / "tables.md")
    write_json(folder / "tables.json", _plain(found, tables, seeds, out, setting))
    _plot(folder / "tables.png", found, tables)
    return text


def _plain(found: Found, tables: list[Table], seeds: list[int], out: Path, setting: str) -> dict:
    def rows(table: Table) -> dict:
        return {
            row.key: {
                "title": row.title,
                "paper": dict(zip(table.columns, row.paper, strict=True)) if row.paper else None,
                "ours": {c: spread(values) for c in table.columns if (values := figures(found, row.key, c))},
            }
            for row in table.rows
        }

    return {
        "setting": setting,
        "rows": {row: {str(seed): means for seed, means in by_seed.items()} for row, by_seed in found.items()},
        "tables": {str(table.number): rows(table) for table in tables},
        "orderings": [result for ordering in ORDERINGS if (result := check(ordering, found))],
        "times": {str(seed): read_times(out, seed) for seed in seeds},
    }


def _plot(path: Path, found: Found, tables: list[Table]) -> None:
    """Diversity against correlation of gaze, ours beside the paper's, a panel a table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [(table, source) for table in tables for source in ("ours", "paper")]
    figure, axes = pyplot.subplots(len(tables), 2, figsize=(11, 3.6 * len(tables)), squeeze=False)
    for (table, source), axis in zip(panels, axes.flat, strict=True):
        x, y = table.columns.index("diversity_eyes"), table.columns.index("correlation_eyes")
        drawn = 0
        for number, row in enumerate(table.rows):
            colour = f"C{number}"
            if source == "paper":
                if row.paper:
                    axis.plot(row.paper[x], row.paper[y], "o", color=colour, label=row.title)
                    drawn += 1
                continue
            points = [figures(found, row.key, "diversity_eyes"), figures(found, row.key, "correlation_eyes")]
            if points[0] and points[1]:
                (mx, sx), (my, sy) = (spread(values) for values in points)
                axis.errorbar(
                    mx, my, xerr=None if math.isnan(sx) else sx, yerr=None if math.isnan(sy) else sy, fmt="o",
                    color=colour, label=row.title, capsize=3,
                )  # fmt: skip
                drawn += 1
        recorded = figures(found, RECORDED, "correlation_eyes")
        if source == "ours" and recorded:
            axis.axhline(spread(recorded)[0], color="0.6", linestyle=":", label="recorded motion")
        axis.set_title(f"{table.title}, {source}", fontsize=10)
        axis.set_xlabel("diversity of gaze (rad)")
        axis.set_ylabel("correlation of gaze")
        axis.margins(0.15)
        if drawn:
            axis.legend(fontsize=7)
    figure.tight_layout()
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110, format="png")
    pyplot.close(figure)
