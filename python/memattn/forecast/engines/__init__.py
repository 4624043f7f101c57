"""Recognises tables of Ray, Dask and Spark without importing these libraries."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memattn.forecast.engines.engine import Engine

# Package of a table's type: the names of the table types, and the module with their engine.
ENGINES = {
    "ray": (("Dataset", "MaterializedDataset"), "ray_data"),
    "dask": (("DataFrame",), "dask_frame"),
    "pyspark": (("DataFrame",), "spark_frame"),
}


def is_engine_table(data: object) -> bool:
    """Returns whether `data` is a table of one of the engines."""
    package = type(data).__module__.partition(".")[0]
    return package in ENGINES and type(data).__name__ in ENGINES[package][0]


def engine_of(data: object) -> Engine | None:
    """Returns the engine of a table; None for any other object."""
    if not is_engine_table(data):
        return None
    module = ENGINES[type(data).__module__.partition(".")[0]][1]
    made: Any = import_module(f"memattn.forecast.engines.{module}")
    engine: Engine = made.engine_for(data)
    return engine
