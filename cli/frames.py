"""An export as a pandas or a Hugging Face table. Neither package is needed until it is asked for."""

from importlib import import_module
from pathlib import Path
from typing import Any


class MissingPackage(ImportError):
    """A package that only this call needs is not installed; the text names it and how to get it."""


def import_package(name: str, wanted_for: str) -> Any:
    """The module. Raises MissingPackage."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingPackage(f"{wanted_for} needs {name}, which is not installed: pip install {name}") from None


def to_pandas(parquet: Path) -> Any:
    """A pandas.DataFrame of an exported file."""
    import_package("pandas", "to_pandas()")
    return _read(parquet).to_pandas()


def to_dataset(parquet: Path) -> Any:
    """A datasets.Dataset of an exported file, in memory."""
    return import_package("datasets", "to_dataset()").Dataset(_read(parquet))


def _read(parquet: Path) -> Any:
    from pyarrow.parquet import read_table

    # In memory as a whole: the file is gone when the caller looks.
    return read_table(parquet, memory_map=False)
