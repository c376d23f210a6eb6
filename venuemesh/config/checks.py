"""Checks before a mesh with accounts starts, so that `up` reports later failures at once."""

from __future__ import annotations

from collections.abc import Mapping

from ..keystore.secrets import check_key, journal_url
from ..model.errors import Misconfigured
from .mesh import MeshConfig


def check_accounts(config: MeshConfig, this_node: str, nodes: Mapping[str, Mapping[str, str]]) -> None:
    """Check that every account can start unattended, as far as this node (`this_node`) can check it.

    `nodes` are the living nodes of the cluster with their labels. Nothing is decrypted, because this process does not
    sign. The files of other nodes are checked when an account starts there.

    Raises:
        Misconfigured: a key's file is missing or can be read by others, or the cluster has several nodes and the
            journal cannot follow an account to another one.
    """
    journal = config.journal
    if journal.is_sqlite and len(nodes) > 1 and not journal.pinned:
        raise Misconfigured(
            "[journal]",
            f"is an SQLite file of one node, and the cluster has {len(nodes)}: no account could move when that node is "
            'lost. Give url = "postgresql+psycopg://..." (or url_file), or set pinned = true to accept that',
        )
    for exchange, settings in config.exchanges.items():
        if not settings.accounts:
            continue
        labels = settings.nodes
        eligible = this_node in nodes and all(nodes[this_node].get(key) == value for key, value in labels.items())
        if journal.is_sqlite and not eligible:
            raise Misconfigured(
                f"exchanges.{exchange}.nodes",
                f"this node lacks the labels {labels}, but its accounts run here, where the SQLite journal is",
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
