"""Makes data frames of records. pandas is optional, and is imported when the first frame is made."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from .errors import Misconfigured

if TYPE_CHECKING:
    import pandas as pd

TIME = "_ns"  # the end of a field's name that holds ns since the Unix epoch


def require_pandas() -> None:
    """Raises Misconfigured: pandas is not installed."""
    try:
        importlib.import_module("pandas")
    except ImportError as error:
        raise Misconfigured("to_pandas", "pandas is missing: pip install 'venuemesh[pandas]'") from error


def frame(kind: type[Any], rows: Sequence[Any], exact: bool, computed: Sequence[str] = ()) -> pd.DataFrame:
    """Return a frame with a column for each field of a record and each `computed` property, in this order.

    Numbers are float64, NaN for None; with `exact` they stay Decimals. A time `..._ns` is the column without that
    ending, a timestamp in UTC. Members of enums are their values. Without rows the columns have the same types.

    Raises:
        Misconfigured: pandas is not installed.
    """
    require_pandas()
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, types in _types(kind, tuple(computed)).items():
        values = [getattr(row, name) for row in rows]
        if name.endswith(TIME):
            columns[name.removesuffix(TIME)] = pd.Series(values, dtype="int64").astype("datetime64[ns, UTC]")
        elif Decimal in types and not exact:
            floats = [None if value is None else float(value) for value in values]
            columns[name] = pd.Series(floats, dtype="float64")
        elif bool in types:
            columns[name] = pd.Series(values, dtype="bool")
        else:
            columns[name] = pd.Series([_plain(value, exact) for value in values], dtype="object")
    return pd.DataFrame(columns)


def _types(kind: Any, computed: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Return the types of each column; a union has several."""
    hints = get_type_hints(kind)
    found = {field.name: hints[field.name] for field in fields(kind)}
    found |= {name: get_type_hints(getattr(kind, name).fget)["return"] for name in computed}
    return {name: get_args(hint) if isinstance(hint, UnionType) else (hint,) for name, hint in found.items()}


def _plain(value: Any, exact: bool) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict) and not exact:
        return {key: float(amount) for key, amount in value.items()}
    return value
