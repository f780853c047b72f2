"""Rules: what each keeps, and the reason it gives."""

from __future__ import annotations

import polars as pl
import pytest

from curate import schema
from curate.choosing.rules import (
    Rule,
    apply_rules,
    area_rule,
    body_part_rule,
    crowd_rule,
    decision_rule,
    duplicate_rule,
    intact_rule,
    leak_rule,
    parse_where,
    parts_rule,
    people_rule,
    percent,
    side_rule,
    spacing_rule,
    stairs_rule,
    take_rule,
    unreadable_rule,
    where_rule,
)
from curate.dataset import FunnelStep
from curate.errors import UsageError
from curate.looking.funnel import funnel_table, sum_up
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
    columns = {"verdict": [None, "exclude", "hard", "exclude"], "verdict_note": [None, "blurred", None, ""]}
    assert dropped(decision_rule(), **columns) == [
        ("s1", None, None, "blurred"),
        ("s3", None, None, "a reviewer excluded it"),
    ]


def test_side() -> None:
    assert dropped(side_rule(480), width=[480, 479, 900, None], height=[480, 640, 100, None]) == [
        ("s1", 479.0, 480.0, "is 479x640 px (WxH), its shorter side under 480"),
        ("s2", 100.0, 480.0, "is 900x100 px (WxH), its shorter side under 480"),
        ("s3", None, 480.0, None),
    ]


def test_intact() -> None:
    columns = {"edges": ["", "L", "LB", "LTRB", "L"], "head_visible": [None, True, True, True, False]}
    assert dropped(intact_rule(1), **columns) == [
        ("s2", 2.0, 1.0, "the image's edges LB cut the person, more than 1"),
        ("s3", 4.0, 1.0, "the image's edges LTRB cut the person, more than 1"),
        ("s4", 0.0, 1.0, "someone's head is not visible, by the keypoints"),
    ]
    assert [row[0] for row in dropped(intact_rule(4), **columns)] == ["s4"]
    assert [row[0] for row in dropped(intact_rule(0), **columns)] == ["s1", "s2", "s3", "s4"]


def test_body_parts() -> None:
    assert dropped(body_part_rule(5), keypoints=[None, 0, 4, 5, 17]) == [
        ("s1", 0.0, 5.0, "shows a part of a body: 0 visible keypoints, fewer than 5"),
        ("s2", 4.0, 5.0, "shows a part of a body: 4 visible keypoints, fewer than 5"),
    ]


def test_parts() -> None:
    assert dropped(parts_rule(2), parts=[1, 2, 3]) == [
        ("s2", 3.0, 2.0, "the mask lies in 3 separate parts, more than 2")
    ]


def test_coarse() -> None:
    sizes = {"width": [300] * 4, "height": [400] * 4}
    assert dropped(spacing_rule(0.1), spacing=[None, 10.0, 50.0, 50.1], **sizes) == [
        ("s3", 50.1 / 500, 0.1, "the polygon has a vertex only every 50.1 px, 10.02 % of the diagonal, more than 10 %")
    ]
    assert dropped(stairs_rule(0.01), stairs=[None, 1.0, 5.0, 8.0], **sizes) == [
        ("s3", 8 / 500, 0.01, "the mask's outline has stairs of 8.0 px, 1.6 % of the diagonal, more than 1 %")
    ]


@pytest.mark.parametrize(("kind", "names"), [("exact", ["s1"]), ("near", ["s1", "s2"])])
def test_duplicates(kind: str, names: list[str]) -> None:
    columns = {"copy_of": [None, "s0", "s0"], "copy_exact": [False, True, False]}
    found = dropped(duplicate_rule(kind), **columns)
    assert [row[0] for row in found] == names
    assert [row[3] for row in found] == ["has the same bytes as s0", "is nearly the same picture as s0"][: len(names)]


def test_leak_and_take() -> None:
    assert dropped(leak_rule(), leak=[None, "ties a and b"]) == [("s1", None, None, "ties a and b")]
    assert dropped(take_rule("at most 3 coco"), over=[None, 3]) == [
        ("s1", None, 3.0, "is one more than the 3 that were asked for")
    ]


def whole(**columns: list[object]) -> pl.DataFrame:
    """Rows with every column of `samples.parquet`; those not given are null."""
    length = len(next(iter(columns.values())))
    named = {"sample_id": [f"s{number}" for number in range(length)], "source": ["s"] * length, **columns}
    empty = {name: [None] * length for name in schema.SAMPLES}
    return pl.DataFrame({**empty, **named}, schema=schema.SAMPLES)


ROWS = whole(
    area=[0.3, 0.31, 0.5, None],
    people=[1, 1, 2, 1],
    width=[480, 640, 640, 480],
    source=["coco", "voc", "coco", "it's"],
    licence=[None, "CC BY 4.0", None, None],
    head_visible=[True, None, False, True],
    touching=[[], ["dog"], ["dog", "cup"], []],
    edges=["", "LB", "TR", "B"],
    group=["a", "b", "c", "d"],
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("area > 0.3 and people == 1 and width >= 480", ["s1"]),
        ("area >= 0.3", ["s0", "s1", "s2"]),
        ("area > 0.4 or area is null", ["s2", "s3"]),
        ("area between 0.3 and 0.31", ["s0", "s1"]),
        ("not area > 0.4", ["s0", "s1"]),
        ("source = 'coco'", ["s0", "s2"]),
        ("source in ('voc', 'it''s')", ["s1", "s3"]),
        ("source like 'co%'", ["s0", "s2"]),
        ("licence is null", ["s0", "s2", "s3"]),
        ("licence <> 'CC BY 4.0'", []),
        ("head_visible", ["s0", "s3"]),
        ("coalesce(head_visible, true)", ["s0", "s1", "s3"]),
        ("array_contains(touching, 'dog')", ["s1", "s2"]),
        ("array_length(touching) = 0", ["s0", "s3"]),
        ("edges not like '%T%'", ["s0", "s1", "s3"]),
        ("group >= 'c' and source <> 'group'", ["s2", "s3"]),
        ("width * people > 640", ["s2"]),
        ("case when people > 1 then area < 0.6 else area < 0.31 end", ["s0", "s2"]),
    ],
)
def test_expressions_are_sqls(text: str, kept: list[str]) -> None:
    found, drops, steps = apply_rules(ROWS, [where_rule(text)])
    assert found["sample_id"].to_list() == kept
    assert found.height + drops.height == ROWS.height
    assert steps[0].label == f"where {text}"


def test_what_is_dropped_by_an_expression_names_the_values() -> None:
    _, drops, _ = apply_rules(ROWS, [where_rule("area > 0.4 and array_contains(touching, 'dog') and licence = 'x'")])
    assert drops["detail"].to_list() == [
        "area is 0.3, touching is [], licence is null",
        "area is 0.31, touching is [dog], licence is CC BY 4.0",
        "area is 0.5, touching is [dog, cup], licence is null",
        "area is null, touching is [], licence is null",
    ]


def test_long_fractions_are_told_to_four_digits() -> None:
    rows = ROWS.head(1).with_columns(area=pl.lit(0.43697963238), weight=pl.lit(2.0, pl.Float32))
    drops = apply_rules(rows, [where_rule("area > 0.5 and weight > 2 and width > 1")])[1]
    assert drops["detail"][0].startswith("area is 0.437, weight is 2.0, width is ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "For example: --where"),
        ("area >", "For example: --where"),
        ("surface > 0.3", 'unable to find column "surface". Columns: sample_id, .*Texts stand in single quotes'),
        ('source = "coco"', 'unable to find column "coco".*Texts stand in single quotes'),
        ("area", "is no condition that one image meets or not"),
        ("people + 1", "is no condition"),
        ("true", "is no condition"),
        ("area > avg(area)", "is no condition"),
        ("max(area) > 0.3", "is no condition"),
        ("area > 0.3 and count(*) > 100", "is no condition"),
        ("row_number() over (order by area) <= 10", "is no condition"),
        ("rank() over (partition by source order by area) = 1", "is no condition"),
        ("area > quantile_cont(area, 0.5)", "is no condition"),
        ("unnest(touching) = 'dog'", "is no condition"),
        ("source > 3", "cannot compare string with numeric"),
        ("area > 0.3; drop table samples", "For example: --where"),
        ("area in (select area from samples)", "For example: --where"),
        ("area > 0" + " and area > 0" * 1000, "expected at most 10,000 letters and 200 operators"),
        ("length(lpad(sample_id, 300000000, 'x')) > 0", "lpad is not allowed, it can take any memory"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_where(text)
    assert caught.value.exit_code == 2


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


ALL = [
    *(unreadable_rule("readable"), people_rule(1), people_rule(2), crowd_rule(1), area_rule(0, 1), side_rule(1)),
    *(intact_rule(1), body_part_rule(3), parts_rule(1), spacing_rule(0.1), stairs_rule(0.1), duplicate_rule("near")),
    *(leak_rule(), where_rule("area > 0"), take_rule("at most 1 coco"), decision_rule()),
]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.label)
def test_every_rule_is_one_of_the_schemas(rule: Rule) -> None:
    assert rule.name in schema.RULES
    assert rule.label


def test_every_rule_of_the_schema_is_one() -> None:
    assert list(dict.fromkeys(rule.name for rule in ALL)) == list(schema.RULES)


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
