"""Takes the defaults of the configuration file from the settings of the roles."""

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
    """Return a model's field with the default of a settings dataclass, so that each default is written once."""
    return Field(default(settings, name), description=description, **checks)
