"""The choice that every contender makes: one or two people who cover 20 to 70 % of the photograph."""

MIN_AREA, MAX_AREA, MAX_PEOPLE = 0.2, 0.7, 2
OPTIONS = ("--min-area", str(MIN_AREA), "--max-area", str(MAX_AREA), "--max-people", str(MAX_PEOPLE))
