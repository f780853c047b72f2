"""review: every failure found, named, and one click from being fixed. All of FiftyOne lives in review.app.

`review.side_by_side(PHOTO, MODELS, LABEL)` draws one photograph as several models see it.
"""

from typing import TYPE_CHECKING

__all__ = ["side_by_side"]

if TYPE_CHECKING:
    from review.notebook import side_by_side
else:  # imported when it is first asked for: `curate review --help` waits for no torch

    def __getattr__(name):
        if name != "side_by_side":
            raise AttributeError(f"module 'review' has no attribute {name!r}")
        from review.notebook import side_by_side

        return side_by_side
