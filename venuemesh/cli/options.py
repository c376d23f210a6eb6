"""Options of a connector on the command line: `--option depth=100`, as often as there are options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..model.errors import Misconfigured

if TYPE_CHECKING:
    from ..connectors.settings import OptionValue

Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="Option of the connector, such as depth=100; `venuemesh exchanges` lists them. May be repeated.",
        metavar="NAME=VALUE",
    ),
]


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


READERS: dict[type[Any], Callable[[str], OptionValue]] = {bool: _truth, int: int, float: float, str: str}


def read_options(exchange: str, given: Sequence[str] | None) -> dict[str, OptionValue]:
    """Read options as the connector types them.

    Raises:
        UnknownExchange: there is no such connector.
        Misconfigured: an option is not NAME=VALUE, is given twice, or the connector does not take it.
    """
    from ..connectors import registry

    spec = registry.connector(exchange).spec
    found: dict[str, OptionValue] = {}
    for option_text in given or ():
        name, separator, value = option_text.partition("=")
        if not separator:
            raise Misconfigured(f"--option {option_text}", "it is not NAME=VALUE")
        if name in found:
            raise Misconfigured(f"--option {option_text}", "the option is given twice")
        kind = next((type(option.default) for option in spec.options if option.name == name), str)
        try:
            found[name] = READERS[kind](value)
        except ValueError:
            found[name] = value  # `Option` reports the accepted values
        problem = spec.option_problem(name, found[name])
        if problem is not None:
            raise Misconfigured(f"--option {option_text}", problem)
    return found
