"""Evaluation: metrics by hand, intervals, tables, the checklist."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import numpy as np
import pytest

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.training.evaluation import intervals, metrics, report, tables


class TestMetrics:
    def test_distance_is_the_mean_norm_of_a_frame(self):
        one, other = np.zeros((2, 6)), np.zeros((2, 6))
        other[0, :2] = 3, 4
        assert metrics.distance(one, other) == pytest.approx(2.5)

    def test_diversity_is_the_mean_over_pairs(self):
        takes = np.zeros((3, 4, 3))
        takes[1, :, 0], takes[2, :, 0] = 1.0, 3.0
        assert metrics.diversity(takes) == pytest.approx((1 + 3 + 2) / 3)
        assert metrics.diversity(np.repeat(takes[:1], 5, axis=0)) == 0
        with pytest.raises(ValueError, match="two takes"):
            metrics.diversity(takes[:1])

    def test_discrepancy_leaves_out_lost_frames(self):
        true = np.zeros((4, 6))
        takes = np.zeros((2, 4, 6))
        takes[:, 3] = 100
        takes[0, :3, 0] = 2
        assert metrics.discrepancy(takes, true, np.array([True, True, True, False])) == pytest.approx(1.0)

    def test_deviation_of_a_stationary_eye_is_nothing_wherever_it_looks(self):
        assert metrics.deviation(np.full((2, 9, 6), 0.3)) == pytest.approx(0)
        moving = np.zeros((1, 2, 1))
        moving[0, 1] = 2
        assert metrics.deviation(moving) == pytest.approx(1)

    def test_lip_vertex_error_takes_the_worst_point_of_each_frame(self):
        true, made = np.zeros((2, 3, 3)), np.zeros((2, 3, 3))
        made[0, 1] = 3, 4, 0
        made[0, 2] = 1, 0, 0
        made[1, 0] = 0, 0, 1
        assert metrics.lip_vertex_error(made, true) == pytest.approx((5 + 1) / 2)
        assert metrics.lip_vertex_error(made, true, squared=True) == pytest.approx((25 + 1) / 2)

    def test_upper_face_deviation_is_positive_where_the_made_face_is_calm(self):
        rng = np.random.default_rng(0)
        rest = rng.normal(size=(5, 3))
        true = rest + rng.normal(size=(200, 5, 3))
        assert metrics.upper_face_deviation(true, true, rest) == pytest.approx(0)
        assert metrics.upper_face_deviation(rest + 0.1 * (true - rest), true, rest) > 0
        assert metrics.upper_face_deviation(rest + 2 * (true - rest), true, rest) < 0

    def test_lip_closure_forgives_a_frame_and_no_more(self):
        true = np.array([5.0, 5, 0, 5, 5, 5, 0, 5])
        made = np.array([5.0, 0, 5, 5, 5, 5, 5, 5])
        found = metrics.lip_closure(made, true)
        assert (found.recall, found.precision) == (0.5, 1.0)
        assert metrics.lip_closure(made, true, tolerance=0).recall == 0
        assert (found + found).true == 4
        assert np.isnan(metrics.lip_closure(true, np.full(8, 5.0)).recall)


class TestIntervals:
    def test_auc(self):
        assert intervals.area_under_curve([3, 4], [1, 2]) == 1
        assert intervals.area_under_curve([1], [1]) == 0.5
        assert intervals.area_under_curve([1, 3], [2]) == 0.5

    def test_bootstrap_holds_the_mean_and_shrinks(self):
        rng = np.random.default_rng(1)
        few, many = (intervals.bootstrap_mean(rng.normal(2, 1, n)) for n in (20, 2000))
        assert many.low < 2 < many.high
        assert many.high - many.low < 0.2 * (few.high - few.low)

    def test_auc_of_chance_includes_a_half_and_groups_widen_it(self):
        rng = np.random.default_rng(2)
        level = np.repeat(rng.normal(size=30), 20)
        groups = np.repeat(np.arange(30), 20)
        positive, negative = level + 0.1 * rng.normal(size=600), level + 0.1 * rng.normal(size=600)
        alone = intervals.bootstrap_auc(positive, negative, np.arange(600), np.arange(600))
        assert alone.low < 0.5 < alone.high
        shuffled = rng.permutation(groups)
        wide = intervals.bootstrap_auc(level, level[::-1], groups, shuffled)
        assert wide.low < 0.5 < wide.high

    def test_spread_of_one_seed_has_no_deviation(self):
        mean, deviation = intervals.spread([3.0])
        assert mean == 3 and np.isnan(deviation)
        assert intervals.spread([1.0, 3.0]) == (2.0, pytest.approx(np.sqrt(2)))


def found(**rows: dict[str, float]) -> dict:
    return {key.replace("_", "-"): {0: values, 1: values} for key, values in rows.items()}


class TestTables:
    def test_each_row_has_a_figure_of_the_paper_for_each_column(self):
        for table in tables.TABLES.values():
            for row in table.rows:
                assert row.paper is None or len(row.paper) == len(table.columns), row

    def test_every_row_can_be_made(self):
        from talkingeyes_blender.training.evaluation.components import COMPONENTS, SHARED, UNTRAINED, components_of

        rows = tables.needed_rows(tables.chosen_tables(None))
        assert len(rows) == len(set(rows)) == 13
        assert all(row in UNTRAINED or row in COMPONENTS or row in SHARED for row in rows)
        order = list(COMPONENTS)
        for row in rows:
            for name in components_of(row):
                assert name in COMPONENTS
        for component in COMPONENTS.values():
            assert all(order.index(need) < order.index(component.name) for need in component.needs)

    def test_the_papers_own_figures_have_the_papers_orderings(self):
        papers = {
            row.key: {0: dict(zip(table.columns, row.paper, strict=True))}
            for table in (tables.TABLES[3], *(tables.TABLES[n] for n in (5, 6, 7)))
            for row in table.rows
            if row.paper
        }
        papers["random"] = {0: {"diversity_eyes": 0.23383, "correlation_eyes": 0.49117}}
        papers["mean"] = {0: {"diversity_eyes": 0.0, "correlation_eyes": 0.45685}}
        ordered = [ordering for ordering in tables.ORDERINGS if "sampled" not in ordering.rows]
        results = [report.check(ordering, papers) for ordering in ordered]
        assert [r["verdict"] for r in results] == ["came out"] * 8

    def test_an_ordering_that_does_not_come_out_is_said(self):
        ordering = tables.ORDERINGS[1]
        results = found(full={"diversity_eyes": 0.1}, gaze_vae={"diversity_eyes": 0.2})
        assert report.check(ordering, results)["verdict"] == "did not come out"
        assert report.check(ordering, found(full={"diversity_eyes": 0.1})) is None
        mixed = {"full": {0: {"diversity_eyes": 3}, 1: {"diversity_eyes": 1}},
                 "gaze-vae": {0: {"diversity_eyes": 2}, 1: {"diversity_eyes": 2}}}  # fmt: skip
        assert report.check(ordering, mixed)["verdict"] == "came out in some seeds"
        text = report.checklist_text(mixed)
        assert "[~] gaze by VQ-VAE" in text and "1 of 2 seeds" in text and "not measured" in text

    def test_a_table_shows_ours_beside_the_papers(self):
        text = report.table_text(tables.TABLES[3], found(full={"diversity_eyes": 0.25, "correlation_eyes": 0.6}))
        line = next(line for line in text.splitlines() if line.startswith("| TalkingEyes |"))
        assert "0.2500 ± 0.0000 | 0.26398" in line
        assert "0.60435" in line

    def test_nothing_finished_is_said(self, tmp_path):
        with pytest.raises(TalkingEyesError, match="no finished row"):
            report.collect(tmp_path, tables.chosen_tables([3]), [0])
