"""The arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

MeshName = Annotated[str, typer.Option("--mesh", "-m", help="Name of the mesh.", envvar="VENUEMESH_MESH")]
Address = Annotated[
    str | None, typer.Option("--address", help="Ray cluster to use, host:port or 'auto'.", envvar="VENUEMESH_ADDRESS")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")]
Exchange = Annotated[str, typer.Argument(help="Name of the exchange in the mesh's configuration.")]
Environment = Annotated[
    str | None,
    typer.Option(
        help="Environment, such as testnet; `venuemesh exchanges` lists those of each exchange.", metavar="NAME"
    ),
]
Patterns = Annotated[list[str], typer.Argument(help="Trading pairs or patterns.", metavar="PAIR...")]
