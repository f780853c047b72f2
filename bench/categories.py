"""The 80 categories of COCO, with how often each is annotated."""

from __future__ import annotations

from typing import NamedTuple


class Category(NamedTuple):
    """A category; `share` is its rough weight among the annotations that are no person."""

    id: int
    name: str
    share: float


PERSON_ID = 1

_OBJECTS = """
2 bicycle 7 | 3 car 43 | 4 motorcycle 9 | 5 airplane 5 | 6 bus 6 | 7 train 5 | 8 truck 10 | 9 boat 11 |
10 traffic light 13 | 11 fire hydrant 2 | 13 stop sign 2 | 14 parking meter 1 | 15 bench 10 | 16 bird 11 | 17 cat 5 |
18 dog 6 | 19 horse 7 | 20 sheep 9 | 21 cow 8 | 22 elephant 6 | 23 bear 1 | 24 zebra 5 | 25 giraffe 5 |
27 backpack 9 | 28 umbrella 11 | 31 handbag 12 | 32 tie 6 | 33 suitcase 6 | 34 frisbee 3 | 35 skis 7 |
36 snowboard 3 | 37 sports ball 6 | 38 kite 9 | 39 baseball bat 3 | 40 baseball glove 4 | 41 skateboard 6 |
42 surfboard 6 | 43 tennis racket 5 | 44 bottle 24 | 46 wine glass 8 | 47 cup 21 | 48 fork 5 | 49 knife 8 |
50 spoon 6 | 51 bowl 14 | 52 banana 9 | 53 apple 6 | 54 sandwich 4 | 55 orange 6 | 56 broccoli 7 | 57 carrot 8 |
58 hot dog 3 | 59 pizza 6 | 60 donut 7 | 61 cake 6 | 62 chair 38 | 63 couch 6 | 64 potted plant 9 | 65 bed 4 |
67 dining table 16 | 70 toilet 4 | 72 tv 6 | 73 laptop 5 | 74 mouse 2 | 75 remote 6 | 76 keyboard 3 |
77 cell phone 6 | 78 microwave 2 | 79 oven 3 | 80 toaster 0.2 | 81 sink 6 | 82 refrigerator 3 | 84 book 25 |
85 clock 6 | 86 vase 7 | 87 scissors 1 | 88 teddy bear 5 | 89 hair drier 0.2 | 90 toothbrush 2
"""


def _parsed(line: str) -> Category:
    number, *name, share = line.split()
    return Category(int(number), " ".join(name), float(share))


OBJECTS: tuple[Category, ...] = tuple(_parsed(line) for line in _OBJECTS.split("|"))
"""Every category but the person, by id; ids have gaps, as COCO's have."""
