"""The arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from . import completion

MeshName = Annotated[
    str,
    typer.Option("--mesh", "-m", help="Name of the mesh.", envvar="VENUEMESH_MESH", autocompletion=completion.meshes),
]
Address = Annotated[
    str | None, typer.Option("--address", help="Ray cluster to use, host:port or 'auto'.", envvar="VENUEMESH_ADDRESS")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")]
Exchange = Annotated[
    str,
    typer.Argument(help="Name of the exchange in the mesh's configuration.", autocompletion=completion.exchanges),
]
AnyExchange = Annotated[
    str | None, typer.Argument(help="Exchange; default: every exchange.", autocompletion=completion.exchanges)
]
Connector = Annotated[str, typer.Argument(help="Exchange, by its connector.", autocompletion=completion.connectors)]
TradingPair = Annotated[str, typer.Argument(help="Trading pair, BASE-QUOTE.", autocompletion=completion.pairs)]
TradingPairs = Annotated[
    list[str],
    typer.Argument(help="Trading pairs, BASE-QUOTE.", metavar="PAIR...", autocompletion=completion.pairs),
]
Environment = Annotated[
    str | None,
    typer.Option(
        help="Environment, such as testnet; `venuemesh exchanges` lists those of each exchange.", metavar="NAME"
    ),
]
Patterns = Annotated[
    list[str], typer.Argument(help="Trading pairs or patterns.", metavar="PAIR...", autocompletion=completion.pairs)
]
