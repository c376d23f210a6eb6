"""The tree as plain values, for `status`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..model.address import REPLICA, Address, has_kind
from ..model.time import SECOND_NS
from .tree.child import Tier
from .tree.machine import Machine
from .tree.placement import fits
from .tree.records import CellState, Child, ChildState

NOTHING: Mapping[str, str] = MappingProxyType({})
NO_NODES: Mapping[str, float] = MappingProxyType({})


def describe(
    machine: Machine,
    usage: Mapping[str, Mapping[str, Any]],
    statuses: Mapping[str, Mapping[str, Any] | None],
    refused: Mapping[str, str],
    now_ns: int,
    doubts: Mapping[str, str] = NOTHING,
    unreachable: Mapping[str, float] = NO_NODES,
) -> dict[str, Any]:
    """Rows of children, cells, nodes and groups. `usage` is by cell, `statuses` by child address;
    `refused` are configured books that cannot run: they get rows in the state REFUSED. `doubts` are books whose pairs
    the exchange's list lacks, by address. `unreachable` are the nodes that do not answer, and for how many seconds:
    they and their silent children are shown as UNREACHABLE at once, while the supervisor decides nothing yet.
    """
    children = machine.children
    degraded = {
        c.spec.group for c in children.values() if c.state is ChildState.DEGRADED or _stranded(machine, c) is not None
    }
    rows = [_row(machine, children[a], usage, statuses.get(a), now_ns, unreachable) for a in sorted(children)]
    for row in rows:
        row["why"] = row["why"] or "; ".join(doubts[served] for served in row["serves"] if served in doubts) or None
    return {
        "epoch": machine.routes.epoch,
        "isolated_s": None if machine.isolated_ns is None else (now_ns - machine.isolated_ns) / SECOND_NS,
        "nodes": [_node_row(machine, node, unreachable) for node in machine.nodes],
        "children": rows + [_refused_row(address, why) for address, why in sorted(refused.items())],
        "spares": sum(1 for c in machine.cells.values() if c.state is CellState.SPARE),
        "creating": sum(1 for c in machine.cells.values() if c.state is CellState.CREATING),
        "groups": {
            group: "DEGRADED" if group in degraded else "OK"
            for group in sorted({c.spec.group for c in children.values()})
        },
        "cells": [
            {
                "cell": c.name,
                "node": c.node,
                "pid": c.pid,
                "state": c.state.value,
                "address": c.address,
                "version": c.version or None,
                **{key: usage.get(c.name, {}).get(key) for key in ("rss", "pss", "cpu_s", "lag_ms")},
            }
            for c in machine.cells.values()
        ],
    }


def _node_row(machine: Machine, node: str, unreachable: Mapping[str, float]) -> dict[str, Any]:
    """`egress` are the rate budgets whose limits role may run on the node; `silent_s` is None while it answers."""
    labels = machine.nodes[node]
    limits = (child.spec for child in machine.children.values() if child.spec.tier is Tier.LIMITS)
    return {
        "node": node,
        "host": machine.hosts.get(node) or None,
        "state": "UNREACHABLE" if node in unreachable else "DRAINED" if node in machine.drained_nodes else "UP",
        "silent_s": unreachable.get(node),
        "labels": dict(labels),
        "egress": sorted({Address.parse(spec.address).name for spec in limits if fits(spec, machine.view(node))}),
    }


def _row(
    machine: Machine,
    child: Child,
    usage: Mapping[str, Mapping[str, Any]],
    status: Mapping[str, Any] | None,
    now_ns: int,
    unreachable: Mapping[str, float],
) -> dict[str, Any]:
    silent_s = unreachable.get(child.node or "") if child.state is ChildState.SERVING and status is None else None
    no_host = _no_host(machine, child)
    cell = machine.cells.get(child.cell) if child.cell else None
    used = usage.get(child.cell or "", {})
    return {
        "address": child.spec.address,
        "group": child.spec.group,
        "state": child.state.value if silent_s is None else "UNREACHABLE",
        "node": child.node,
        "host": machine.hosts.get(child.node or "") or None,
        "cell": child.cell,
        "pid": cell.pid if cell else None,
        "incarnation": list(child.incarnation) if child.incarnation else None,
        "restarts": child.restarts,
        "last_error": _stranded(machine, child) or no_host or _no_process(machine, child) or child.last_error,
        "lacks_host": no_host is not None and _is_doubled(machine, child),
        "why": _why(machine, child, status, now_ns) if silent_s is None else _silent(machine, child.node, silent_s),
        "rss": used.get("rss"),
        "pss": used.get("pss"),
        "cpu": used.get("cpu_s"),
        "serves": [address for address, _ in child.spec.serves],
        "status": dict(status) if status is not None else None,
    }


def _why(machine: Machine, child: Child, status: Mapping[str, Any] | None, now_ns: int) -> str | None:
    """Return why a child is not as it should be, in words; None: there is nothing to explain."""
    state, before = child.state, f"; it ended before: {child.last_error}" if child.last_error else ""
    if state is ChildState.SERVING:
        error = "it did not answer in time" if status is None else status.get("error")
        return error or _pending(machine, child)
    if (stranded := _stranded(machine, child)) is not None:
        return stranded
    if state is ChildState.WAITING:
        if first := _first(machine, child):
            return f"starts after {', '.join(first)}{before}"
        if (nowhere := _no_host(machine, child)) is not None:
            return f"{nowhere}{before}"
        missing = _no_process(machine, child)
        return f"waits for a process{f': {missing}' if missing else ''}{before}"
    if state in (ChildState.BACKOFF, ChildState.DEGRADED):
        again_s = max(0.0, (child.retry_ns - now_ns) / SECOND_NS)
        return f"{child.last_error or 'it ended too often'}; next start in {again_s:.1f} s"
    return child.last_error


def _pending(machine: Machine, child: Child) -> str | None:
    """Return which change of the configuration a serving child still waits for."""
    if child.spec.address in machine.retiring:
        return f"it is not wanted any longer, and serves until {child.spec.apart} is LIVE"
    if child.spec.address in machine.earlier:
        failed = machine.rolling.failed.get(child.spec.address)
        return f"it serves with its earlier settings until a successor is ready{f'; {failed}' if failed else ''}"
    return None


def _is_doubled(machine: Machine, child: Child) -> bool:
    """Return whether a waiting child is one copy of a redundant book whose readers have the other."""
    other = machine.children.get(child.spec.apart)
    return has_kind(child.spec.address, REPLICA) or (other is not None and other.state is ChildState.SERVING)


def _silent(machine: Machine, node: str | None, silent_s: float) -> str:
    known = "has not declared it lost yet"
    return f"its node {host_of(machine, node)} has not answered for {silent_s:.1f} s; the cluster {known}"


def host_of(machine: Machine, node: str | None) -> str:
    """Return a node's host by name, or else the beginning of its id."""
    return machine.hosts.get(node or "") or (node or "")[:12]


def _first(machine: Machine, child: Child) -> list[str]:
    """Return the children that must have served before this one starts for the first time."""
    others = (machine.children.get(address) for address in child.spec.after)
    before = [other.spec.address for other in others if other is not None and not other.served_once]
    return [] if child.served_once else before


def _no_host(machine: Machine, child: Child) -> str | None:
    """Return why no host takes a waiting child whose turn it is; None if one does."""
    if child.state is not ChildState.WAITING or not machine.nodes or _first(machine, child):
        return None
    fitting = {node for node in machine.nodes if fits(child.spec, machine.view(node))}
    if not fitting:
        return f"no node of the cluster has the labels {dict(child.spec.labels)}"
    drained = machine.drained_nodes
    if child.spec.node is None and fitting <= drained:
        hosts = ", ".join(sorted(host_of(machine, node) for node in fitting))
        return f"the only hosts where it may run are drained: {hosts}"
    taken = machine.nodes_of(child.spec.apart)
    if fitting <= taken | drained:
        hosts = ", ".join(sorted(host_of(machine, node) for node in taken))
        return f"waits for another host: {child.spec.apart}, the other copy of this book, runs on {hosts}"
    return None


def _no_process(machine: Machine, child: Child) -> str | None:
    """Return why no process starts for a waiting child; None while one may start, or the child waits for another."""
    if child.state is not ChildState.WAITING or child.node not in machine.create_errors:
        return None
    return f"a process did not start on node {host_of(machine, child.node)}: {machine.create_errors[child.node]}"


def _stranded(machine: Machine, child: Child) -> str | None:
    """Return why a pinned child waits while its node is lost; None for any other child."""
    if not child.spec.pinned or child.cell is not None or not machine.nodes:
        return None
    if any(fits(child.spec, machine.view(node)) for node in machine.nodes):
        return None
    host = machine.identities.get(child.spec.node or "", "").partition("/")[0] or host_of(machine, child.spec.node)
    return f"its node {host} is lost, and it cannot run on another: {child.spec.pinned}"


def _refused_row(address: str, why: str) -> dict[str, Any]:
    empty = ("node", "host", "cell", "pid", "incarnation", "rss", "pss", "cpu", "status")
    group = Address.parse(address).exchange
    row = {"address": address, "group": group, "state": "REFUSED", "restarts": 0, "serves": []}
    row |= {"last_error": why, "why": why}
    return row | dict.fromkeys(empty)
