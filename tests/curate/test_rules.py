"""Rules: what each keeps, and the reason it gives."""

from __future__ import annotations

import polars as pl
import pytest

from curate import schema
from curate.dataset import FunnelStep
from curate.funnel import funnel_table, sum_up
from curate.rules import (
    Rule,
    apply_rules,
    area_rule,
    crowd_rule,
    decision_rule,
    people_rule,
    percent,
    unreadable_rule,
)
from curate.sources import Note


def candidates(**columns: list[object]) -> pl.DataFrame:
    """A candidate table of these columns."""
    length = len(next(iter(columns.values())))
    names = {"sample_id": [f"s{number}" for number in range(length)], "source": ["s"] * length}
    return pl.DataFrame({**names, **columns})


def dropped(rule: Rule, **columns: list[object]) -> list[tuple[object, ...]]:
    """sample_id, value, limit and detail of what one rule drops."""
    _, drops, _ = apply_rules(candidates(**columns), [rule])
    return drops.select("sample_id", "value", "limit", "detail").rows()


def test_people() -> None:
    assert dropped(people_rule(1), people=[0, 1, 5]) == [("s0", 0.0, 1.0, "shows nobody")]
    assert dropped(people_rule(3), people=[2, 3, None]) == [
        ("s0", 2.0, 3.0, "shows 2 people, fewer than 3"),
        ("s2", None, 3.0, None),
    ]


def test_crowd() -> None:
    assert dropped(crowd_rule(2), people=[1, 2, 3, 1], crowd=[False, False, False, True]) == [
        ("s2", 3.0, 2.0, "shows 3 people, more than 2"),
        ("s3", float("inf"), 2.0, "shows a crowd"),
    ]


def test_area_limits_are_kept() -> None:
    assert dropped(area_rule(0.2, 0.7), area=[0.2, 0.7, 0.1999, 0.7001, None]) == [
        ("s2", 0.1999, 0.2, "people cover 20.0 %, less than 20 %"),
        ("s3", 0.7001, 0.7, "people cover 70.0 %, more than 70 %"),
        ("s4", None, 0.7, None),
    ]


def test_unreadable_and_decision() -> None:
    assert dropped(unreadable_rule("readable"), unreadable=[None, "no mask"]) == [("s1", None, None, "no mask")]
    columns = {"verdict": [None, "exclude", "hard"], "verdict_note": [None, "blurred", None]}
    assert dropped(decision_rule(), **columns) == [("s1", None, None, "blurred")]


def test_an_image_is_dropped_by_the_first_rule_it_fails() -> None:
    frame = candidates(people=[0, 3, 1], crowd=[True, False, False], area=[0.0, 0.1, 0.5])
    kept, drops, steps = apply_rules(frame, [people_rule(1), crowd_rule(2), area_rule(0.2, 1.0)])
    assert kept["sample_id"].to_list() == ["s2"]
    assert drops.select("sample_id", "rule").rows() == [("s0", "people"), ("s1", "crowd")]
    assert [step.remaining for step in steps] == [2, 1, 1]
    assert drops.schema == schema.DROPS


def test_no_candidates_pass_every_rule() -> None:
    kept, drops, steps = apply_rules(
        candidates(people=[1], crowd=[False], area=[0.5]).head(0), [people_rule(1), crowd_rule(1), area_rule(0, 1)]
    )
    assert (kept.height, drops.height, [step.remaining for step in steps]) == (0, 0, [0, 0, 0])


@pytest.mark.parametrize("rule", [people_rule(1), people_rule(2), crowd_rule(1), area_rule(0, 1), decision_rule()])
def test_every_rule_is_one_of_the_schemas(rule: Rule) -> None:
    assert rule.name in schema.RULES
    assert rule.label


@pytest.mark.parametrize(
    ("fraction", "words"), [(0.2, "20 %"), (1.0, "100 %"), (0.005, "0.5 %"), (0.333, "33.3 %"), (0.07, "7 %")]
)
def test_percent(fraction: float, words: str) -> None:
    assert percent(fraction) == words


def test_the_table_leaves_out_readable_steps_that_took_nothing() -> None:
    steps = [
        FunnelStep("looked at", "looked at", 12000),
        FunnelStep("unreadable", "readable label", 12000),
        FunnelStep("people", "with a person", 90),
        FunnelStep("unreadable", "readable image", 88),
        FunnelStep("kept", "kept", 88),
    ]
    assert funnel_table(steps).splitlines() == [
        "looked at       12000",
        "with a person      90  -11910",
        "readable image     88      -2",
        "kept               88",
    ]


def test_notes_are_summed_up_by_what_happened() -> None:
    notes = [Note("masks were resized", "b"), Note("ids stand twice", "x"), Note("masks were resized", "a")]
    assert sum_up(notes) == ["1 ids stand twice; the first: x", "2 masks were resized; the first: a"]
    assert sum_up([]) == []
