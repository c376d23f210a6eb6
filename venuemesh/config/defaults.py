"""Where the defaults of a configuration file come from: the settings that the roles take."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from pydantic import Field


def default(settings: type[Any], name: str) -> Any:
    """Return the default of one field of a settings dataclass."""
    (field,) = (field for field in fields(settings) if field.name == name)
    if field.default is MISSING:
        raise TypeError(f"{settings.__name__}.{name} has no default value")
    return field.default


def setting(settings: type[Any], name: str, description: str, **checks: Any) -> Any:
    """Return a model's field whose default is that of a settings dataclass, so that no default stands twice."""
    return Field(default(settings, name), description=description, **checks)
