"""What must hold before a mesh with accounts is started: seen at `up`, in words, instead of at night."""

from __future__ import annotations

from collections.abc import Mapping

from ..keystore.secrets import check_key, journal_url
from ..model.errors import Misconfigured
from .mesh import MeshConfig


def check_accounts(config: MeshConfig, here: str, nodes: Mapping[str, Mapping[str, str]]) -> None:
    """See that every account can be taken up without a person, as far as this node (`here`) can see.

    `nodes` are the living nodes of the cluster with their labels. Nothing is decrypted: this process does not sign. The
    files of other nodes are seen when an account is taken up there.

    Raises:
        Misconfigured: a file of a key is missing or open to others, or the journal cannot follow an account to another
            node although there are several.
    """
    journal = config.journal
    if journal.is_sqlite and len(nodes) > 1 and not journal.pinned:
        raise Misconfigured(
            "[journal]",
            f"is an SQLite file of one node, and the cluster has {len(nodes)}: no account could move when that node is "
            'lost. Give url = "postgresql+psycopg://..." (or url_file), or say pinned = true to accept it',
        )
    for exchange, settings in config.exchanges.items():
        if not settings.accounts:
            continue
        labels = settings.nodes
        eligible = here in nodes and all(nodes[here].get(key) == value for key, value in labels.items())
        if journal.is_sqlite and not eligible:
            raise Misconfigured(
                f"exchanges.{exchange}.nodes",
                f"this node has not the labels {labels}, but its accounts run where the SQLite journal is: here",
            )
        if not eligible:
            continue
        if journal.url_file is not None:
            journal_url(None, journal.url_file)
        for account, own in settings.accounts.items():
            try:
                check_key(own.key, settings.connector or exchange)
            except Misconfigured as error:
                raise Misconfigured(f"exchanges.{exchange}.accounts.{account}", str(error)) from None
