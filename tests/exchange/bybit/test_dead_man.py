"""Disconnection protection of spot; RSA keys on the websockets. Source: order/dcp.mdx, guide.mdx, read 2026-11-28."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.exchange.bybit.conftest import BybitExchange
from venuemesh.connectors.bybit import CONNECTOR
from venuemesh.exchange.engine.keys import public_key

SET, INFO = "order/disconnected-cancel-all", "account/query-dcp-info"


async def rest_an_order(bybit: BybitExchange, client_id: str) -> None:
    bid = float(await bybit.best("bids"))
    sent = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": f"{bid * 0.9:.2f}"}
    await bybit.private("order/create", {**sent, "orderLinkId": client_id})


async def is_open(bybit: BybitExchange) -> bool:
    return bool((await bybit.private("order/realtime"))["list"])


async def lost(bybit: BybitExchange, socket: Any) -> None:
    before = len(bybit.venue.connections)
    await socket.close()
    await bybit.eventually(lambda: len(bybit.venue.connections) < before)


async def test_orders_are_cancelled_when_the_last_watched_connection_is_lost_for_too_long(bybit: BybitExchange) -> None:
    assert (await bybit.private(INFO))["dcpInfos"] == []
    assert await bybit.private(SET, {"product": "SPOT", "timeWindow": 10}) == {}
    assert (await bybit.private(INFO))["dcpInfos"] == [{"product": "SPOT", "dcpStatus": "ON", "timeWindow": "10"}]
    await rest_an_order(bybit, "kept")
    bybit.advance(60_000, step_ms=1000)
    assert await is_open(bybit)  # nothing is watched yet
    sockets = [await bybit.account(), await bybit.account(), await bybit.account()]
    for socket, topics in zip(sockets, (("order",), ("dcp.spot",), ("order", "dcp.spot")), strict=True):
        assert (await bybit.log_in(socket))["success"]
        assert (await bybit.say(socket, "subscribe", *topics))["success"]
    bybit.advance(1_000)
    await lost(bybit, sockets[1])
    bybit.advance(60_000, step_ms=1000)
    assert await is_open(bybit)  # another one is watched
    await lost(bybit, sockets[2])
    bybit.advance(9_000)
    assert await is_open(bybit)
    again = await bybit.account()
    await bybit.log_in(again)
    await bybit.say(again, "subscribe", "dcp.spot")
    bybit.advance(20_000)
    assert await is_open(bybit)  # it came back in time
    await lost(bybit, again)
    bybit.advance(11_000)
    assert not await is_open(bybit)
    for socket in sockets:
        await socket.close()


async def test_a_connection_that_unsubscribed_is_watched_no_longer(bybit: BybitExchange) -> None:
    await bybit.private(SET, {"product": "SPOT", "timeWindow": 3})
    await rest_an_order(bybit, "kept")
    async with bybit.account() as socket:
        await bybit.log_in(socket)
        await bybit.say(socket, "subscribe", "dcp.spot")
        bybit.advance(1_000)
        await bybit.say(socket, "unsubscribe", "dcp.spot")
        bybit.advance(10_000)
        assert await is_open(bybit)


async def test_windows_have_bounds_and_other_products_change_nothing(bybit: BybitExchange) -> None:
    for sent in ({"product": "SPOT", "timeWindow": 2}, {"product": "SPOT"}, {"product": "X", "timeWindow": 9}):
        assert await bybit.private(SET, sent) == 10001
    assert await bybit.private(SET, {"timeWindow": 9}) == {}
    assert (await bybit.private(INFO))["dcpInfos"] == []


async def test_an_rsa_key_authenticates_both_websockets(bybit: BybitExchange) -> None:
    private = generate_private_key(65537, 2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    bybit.venue.engine.accounts["main"].keys["RSA-KEY"] = public_key("RSA-KEY", public)
    key = CONNECTOR.auth("rsa", "RSA-KEY", pem)
    for path, field, success, refused in (("private", "success", True, False), ("trade", "retCode", 0, 10004)):
        async with bybit.session.ws_connect(f"{bybit.bybit['ws_api']}/v5/{path}") as socket:
            asked = json.loads(key.auth(bybit.clock.now_ns(), 5000))
            forged = {**asked, "args": [*asked["args"][:2], asked["args"][2][::-1]]}
            for message, wanted in ((forged, refused), (asked, success)):
                await socket.send_str(json.dumps(message))
                answer = await bybit.next_json(socket)
                assert answer[field] == wanted, answer
