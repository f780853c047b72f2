"""All of FiftyOne: one persistent dataset over a dataset version's own images, brought up to date in place.

FiftyOne is the viewer. Scores are computed elsewhere (its own per-sample figures are of another kind, see
ARCHITECTURE.md) and stand here as plain fields; masks stay on disk. Importing this package imports FiftyOne, which
takes seconds and needs its database: import it through `review.cli`, which looks for the database first.
"""

from review.app.dataset import fiftyone_name, open_review, read_marks
from review.app.dropped import has_dropped, show_dropped
from review.app.session import address_of, launch
from review.app.views import CHECKED, WORST

__all__ = [
    "CHECKED",
    "WORST",
    "address_of",
    "fiftyone_name",
    "has_dropped",
    "launch",
    "open_review",
    "read_marks",
    "show_dropped",
]
