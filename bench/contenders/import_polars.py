"""Import polars and end: what every program with polars pays."""

import polars  # noqa: F401
