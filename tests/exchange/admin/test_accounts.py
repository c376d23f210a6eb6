"""The admin interface for accounts."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.fakes.signed_ws import Api, Key
from venuemesh.model.errors import Rejected

pytestmark = pytest.mark.timeout(120)


async def test_an_account_is_opened_with_keys_while_running(exchange: Any) -> None:
    opened = await exchange.admin.add_account("two", "K2", secret="s", balances={"BTC": "1.5"})
    assert opened["balances"] == {"BTC": {"free": "1.50000000", "locked": "0.00000000"}}
    pair = Key.ed25519("K3")
    summary = await exchange.admin.add_key("two", "K3", public_key=pair.public_pem, only="read")
    assert [(key["key"], key["kind"], key["can_trade"], key["revoked"]) for key in summary["keys"]] == [
        ("K2", "HMAC", True, False),
        ("K3", "ED25519", False, False),
    ]
    await exchange.admin.revoke("K3")
    listed = {account["account"]: account for account in (await exchange.admin.accounts())["accounts"]}
    assert [key["revoked"] for key in listed["two"]["keys"]] == [False, True]
    assert await exchange.admin.reinstate("K3") == {"account": "two", "key": "K3"}


@pytest.mark.parametrize(
    ("call", "arguments", "field"),
    [
        ("add_account", {"account": "main", "key": "K", "secret": "s"}, "account"),
        ("add_account", {"account": "two", "key": "KEY", "secret": "s"}, "key"),
        ("add_account", {"account": "two", "key": "K"}, "secret"),
        ("add_account", {"account": "two", "key": "K", "secret": "s", "balances": {"BTC": "x"}}, "balances.BTC"),
        ("add_key", {"account": "main", "key": "K", "public_key": "no pem"}, "public_key"),
        ("add_key", {"account": "nobody", "key": "K", "secret": "s"}, "account"),
        ("revoke", {"key": "nobody"}, "key"),
        ("expire", {"account": "nobody"}, "account"),
        ("deposit", {"account": "main", "asset": "BTC", "amount": "-1"}, "amount"),
        ("withdraw", {"account": "main", "asset": "BTC", "amount": "11"}, "amount"),
        ("unlock", {"account": "main", "asset": "BTC", "amount": "1"}, "amount"),
        ("orders", {"account": "nobody"}, "account"),
        ("fill", {"symbol": "BTCUSDT", "order_id": 10**12}, "order_id"),
        ("fault", {"kind": "balance", "account": "main"}, "asset"),
        ("fault", {"kind": "late", "account": "nobody"}, "account"),
    ],
)
async def test_refusals_name_the_field(exchange: Any, call: str, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        await getattr(exchange.admin, call)(**arguments)
    assert str(caught.value.reason).startswith(f"{field}:")


async def test_a_resting_order_is_filled_by_hand_wherever_it_stands(exchange: Any) -> None:
    await exchange.admin.pause()
    bids = (await exchange.admin.book("BTCUSDT"))["bids"]
    deep = bids[5][0]
    placed = await exchange.admin.order("BTCUSDT", "BUY", price=deep, quantity="0.03", account="main")
    partly = await exchange.admin.fill("BTCUSDT", placed["order_id"], "0.01")
    assert (partly["status"], partly["filled"]) == ("PARTIALLY_FILLED", "0.01000000")
    assert (await exchange.admin.fill("BTCUSDT", placed["order_id"]))["status"] == "FILLED"
    fills = (await exchange.admin.fills("main"))["fills"]
    assert [(fill["size"], fill["price"], fill["maker"]) for fill in fills] == [
        ("0.01000000", deep, True),
        ("0.02000000", deep, True),
    ]
    with pytest.raises(Rejected):
        await exchange.admin.fill("BTCUSDT", placed["order_id"])


async def test_an_accounts_orders_are_cancelled_by_the_exchange(exchange: Any) -> None:
    await exchange.admin.pause()
    for symbol, price, quantity in (("BTCUSDT", "60000", "0.01"), ("ETHUSDT", "3000", "0.1")):
        await exchange.admin.order(symbol, "BUY", price=price, quantity=quantity, account="main")
    assert len((await exchange.admin.cancel_all("main", "BTCUSDT"))["cancelled"]) == 1
    assert len((await exchange.admin.cancel_all("main"))["cancelled"]) == 1
    assert [order["status"] for order in (await exchange.admin.orders("main"))["orders"]] == ["CANCELED"] * 2


async def test_connections_that_hear_an_account_are_cut(exchange: Any) -> None:
    async with exchange.socket("/ws-api/v3") as hearing, exchange.socket("/ws-api/v3") as other:
        api = Api(hearing, Key("KEY", "SECRET"), lambda: exchange.clock.wall_ns // 1_000_000)
        await api.ask("userDataStream.subscribe.signature")
        listed = (await exchange.admin.connections())["connections"]
        assert [connection["subscriptions"] for connection in listed] == [[0], []]
        assert len((await exchange.admin.cut(account="main"))["cut"]) == 1
        assert (await hearing.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        await other.send_str('{"id": 1, "method": "ping"}')
        assert (await exchange.next_json(other))["status"] == 200
