"""OKX's private REST endpoints, in the shapes of the manual, and their traps."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.okx.conftest import OkxExchange
from tests.fakes.captures import captures
from venuemesh.exchange.engine.accounts import Account
from venuemesh.exchange.engine.engine import Engine
from venuemesh.exchange.engine.keys import ApiKey
from venuemesh.exchange.floor import Floor
from venuemesh.exchange.okx.auth import authenticate
from venuemesh.exchange.okx.errors import ApiError
from venuemesh.exchange.okx.ids import order_number

RESTING: dict[str, Any] = {
    "instId": "BTC-USDT",
    "tdMode": "cash",
    "side": "buy",
    "ordType": "limit",
    "px": "60000",
    "sz": "0.01",
}
TAKING: dict[str, Any] = {"instId": "BTC-USDT", "tdMode": "cash", "ordType": "market"}


async def best(okx: OkxExchange, side: str) -> Decimal:
    return Decimal((await okx.admin.book("BTCUSDT"))[side][0][0])


async def order(okx: OkxExchange, placed: Any, **options: Any) -> Any:
    (row,) = placed
    (found,) = await okx.private("trade/order", instId="BTC-USDT", ordId=row["ordId"], **options)
    return found


# --------------------------------------------------------------------------------------------------------- signing


def test_recorded_signatures_are_good() -> None:
    """Signatures of a public client with a fixed clock."""
    answer = json.loads((captures("okx") / "signing.json").read_text())
    keys, now_ns = answer["keys"], answer["clock_ms"] * 1_000_000
    engine = Engine()
    key = ApiKey(keys["apiKey"], keys["secret"].encode(), passphrase=keys["password"])
    engine.add_account(Account("a", keys={key.name: key}))
    floor = Floor(engine, None, None, lambda seconds, call: None)  # type: ignore[arg-type]
    assert answer["requests"]
    for request in answer["requests"]:
        path, body = request["url"].removeprefix("https://www.okx.com"), (request["body"] or "").encode()
        args = floor, request["method"], path, request["headers"]
        assert authenticate(*args, body, now_ns)[1] is key
        with pytest.raises(ApiError, match="Invalid signature"):
            authenticate(*args, body + b" ", now_ns)


async def test_who_may_not(okx: OkxExchange) -> None:
    """error/code.md, API Class: each header alone, then the permission."""
    assert await okx.private("account/balance", key="NOBODY") == (401, "50111")
    assert await okx.private("account/balance", passphrase="other") == (401, "50105")
    assert await okx.private("account/balance", secret="other") == (401, "50113")
    for name, code in {"KEY": "50103", "PASSPHRASE": "50104", "SIGN": "50106", "TIMESTAMP": "50107"}.items():
        assert await okx.private("account/balance", headers={f"OK-ACCESS-{name}": ""}) == (401, code)
    assert await okx.private("account/balance", headers={"OK-ACCESS-TIMESTAMP": "1700000000"}) == (401, "50112")
    for ago_s, refused in ((30.0, False), (30.001, True), (-30.0, False), (-30.001, True)):
        answer = await okx.private("account/balance", ago_s=ago_s)
        assert (answer == (401, "50102")) is refused, ago_s
    await okx.admin.add_key("main", "READER", secret="s", only="read")
    assert await okx.private("trade/order", RESTING, key="READER", secret="s") == (200, "50120")
    assert len(await okx.private("account/config", key="READER", secret="s")) == 1
    await okx.admin.revoke("KEY")
    assert await okx.private("account/balance") == (401, "50111")


async def test_a_request_is_void_after_its_exp_time(okx: OkxExchange) -> None:
    """overview/transaction/timeouts.md: placing and amending, not cancelling."""
    now_ms = okx.clock.now_ns() // 1_000_000
    past, soon = {"expTime": str(now_ms - 1)}, {"expTime": str(now_ms + 40)}
    assert await okx.private("trade/order", RESTING, headers=past) == (200, "50036")
    await okx.admin.fault(kind="late", endpoint="POST /api/v5/trade/order", ms=100, count=1)
    held = asyncio.create_task(okx.private("trade/order", RESTING, headers=soon))
    await okx.eventually(lambda: okx.venue.faults.counters.get("late") == 1)
    okx.advance(50)
    assert await held == (200, "50037")
    (row,) = await okx.private("trade/order", RESTING)
    amended = {"instId": "BTC-USDT", "ordId": row["ordId"], "newSz": "0.005"}
    assert await okx.private("trade/amend-order", amended, headers=past) == (200, "50036")
    canceled = await okx.private("trade/cancel-order", {"instId": "BTC-USDT", "ordId": row["ordId"]}, headers=past)
    assert canceled[0]["sCode"] == "0"


# --------------------------------------------------------------------------------------------------------- placing


async def test_an_acknowledgement_has_no_state(okx: OkxExchange) -> None:
    """trading-trade-post-place-order.md: ids and codes; only a query shows the order's state."""
    (row,) = await okx.private("trade/order", RESTING | {"clOrdId": "b15", "tag": "t1"})
    assert row == {
        "clOrdId": "b15",
        "ordId": row["ordId"],
        "tag": "t1",
        "ts": "1700000000000",
        "sCode": "0",
        "sMsg": "",
        "subCode": "",
    }
    found = await order(okx, [row])
    assert (found["state"], found["clOrdId"], found["px"], found["sz"]) == ("live", "b15", "60000", "0.01")
    assert (found["accFillSz"], found["avgPx"], found["fillSz"], found["tradeId"]) == ("0", "", "0", "")
    assert (found["ordType"], found["tgtCcy"], found["stpMode"], found["cTime"]) == (
        "limit",
        "",
        "cancel_maker",
        "1700000000000",
    )
    truth = (await okx.admin.orders("main"))["orders"][0]
    assert (order_number(row["ordId"]), truth["client_order_id"]) == (truth["order_id"], "b15")
    assert (await okx.admin.receipt("main", "b15"))["accepted"] == 1


async def test_a_refusal_is_a_separate_row_in_http_200(okx: OkxExchange) -> None:
    async def code(**change: Any) -> Any:
        return await okx.private("trade/order", {k: v for k, v in (RESTING | change).items() if v is not None})

    assert await code(px="60000.001") == (200, "1", "51006")
    assert await code(sz="0.000001") == (200, "1", "51020")
    assert await code(sz="20") == (200, "1", "51008")
    assert await code(instId="BTC-EUR") == (200, "1", "51001")
    assert await code(tdMode="cross") == (200, "1", "51010")
    for wrong in ({"side": "hold"}, {"ordType": "iceberg"}, {"clOrdId": "a-b"}, {"clOrdId": "a" * 33}, {"sz": "x"}):
        assert await code(**wrong) == (400, "51000")
    assert await code(sz=None) == (400, "50014")
    assert await okx.private("trade/order", [RESTING]) == (400, "50002")
    status, body = await okx.signed("trade/order", RESTING | {"sz": "20"})
    answer_body = json.loads(body)
    assert (status, answer_body["msg"]) == (200, "Operation failed.")
    assert answer_body["data"][0] | {"ts": ""} == {
        "clOrdId": "",
        "ordId": "",
        "tag": "",
        "ts": "",
        "sCode": "51008",
        "sMsg": "Order failed. Insufficient USDT balance in account",
        "subCode": "1000",
    }


async def test_client_ids_are_unique_among_open_orders_only(okx: OkxExchange) -> None:
    """post-place-order.md, clOrdId: reusable after the end; a query finds the newest."""
    (first,) = await okx.private("trade/order", RESTING | {"clOrdId": "again"})
    assert await okx.private("trade/order", RESTING | {"clOrdId": "again"}) == (200, "1", "51016")
    (ended,) = await okx.private("trade/cancel-order", {"instId": "BTC-USDT", "clOrdId": "again"})
    assert (ended["ordId"], ended["sCode"]) == (first["ordId"], "0")
    (second,) = await okx.private("trade/order", RESTING | {"clOrdId": "again"})
    (found,) = await okx.private("trade/order", instId="BTC-USDT", clOrdId="again")
    assert (found["ordId"], found["state"]) == (second["ordId"], "live")
    assert (await order(okx, [first]))["state"] == "canceled"


async def test_a_post_only_order_that_would_take_is_accepted_and_cancelled(okx: OkxExchange) -> None:
    price = str(await best(okx, "asks"))
    found = await order(okx, await okx.private("trade/order", RESTING | {"ordType": "post_only", "px": price}))
    assert (found["state"], found["cancelSource"], found["accFillSz"]) == ("canceled", "31", "0")
    assert found["ordType"] == "post_only"
    found = await order(okx, await okx.private("trade/order", RESTING | {"ordType": "post_only"}))
    assert (found["state"], found["cancelSource"]) == ("live", "")


async def test_ioc_and_fok(okx: OkxExchange) -> None:
    for kind, source in (("ioc", "14"), ("fok", "13")):
        found = await order(okx, await okx.private("trade/order", RESTING | {"ordType": kind}))
        assert (found["state"], found["cancelSource"], found["ordType"]) == ("canceled", source, kind)


async def test_a_market_purchase_is_in_quote_by_default(okx: OkxExchange) -> None:
    """post-place-order.md, tgtCcy; fees are negative, in what is received."""
    found = await order(okx, await okx.private("trade/order", TAKING | {"side": "buy", "sz": "700"}))
    assert (found["state"], found["sz"], found["tgtCcy"], found["px"]) == ("filled", "700", "quote_ccy", "")
    spent = Decimal(found["accFillSz"]) * Decimal(found["avgPx"])
    assert Decimal(690) < spent <= 700
    assert (found["feeCcy"], Decimal(found["fee"])) == ("BTC", -Decimal(found["accFillSz"]) / 1000)
    found = await order(okx, await okx.private("trade/order", TAKING | {"side": "sell", "sz": "0.01"}))
    assert (found["state"], found["sz"], found["tgtCcy"], found["feeCcy"]) == ("filled", "0.01", "base_ccy", "USDT")
    assert Decimal(found["fee"]) < 0
    sold = await order(
        okx, await okx.private("trade/order", TAKING | {"side": "sell", "sz": "700", "tgtCcy": "quote_ccy"})
    )
    assert (sold["state"], sold["sz"], sold["tgtCcy"]) == ("filled", "700", "quote_ccy")


async def test_a_purchase_by_size_reaches_as_far_as_its_slippage(okx: OkxExchange) -> None:
    """slippagePct is 0 by default: only the best level is bought."""
    asks = (await okx.admin.book("BTCUSDT"))["asks"]
    first, more = Decimal(asks[0][1]), Decimal(asks[0][1]) + Decimal(asks[1][1])
    buying = TAKING | {"side": "buy", "tgtCcy": "base_ccy", "sz": f"{more:f}"}
    found = await order(okx, await okx.private("trade/order", buying))
    assert (found["state"], Decimal(found["accFillSz"]), found["cancelSource"]) == ("canceled", first, "14")
    assert (found["ordType"], found["px"], found["tgtCcy"]) == ("market", "", "base_ccy")
    found = await order(okx, await okx.private("trade/order", buying | {"slippagePct": "0.05"}))
    assert (found["state"], Decimal(found["accFillSz"])) == ("filled", more)
    for wrong in ("0.06", "0.01234", "x"):
        assert await okx.private("trade/order", buying | {"slippagePct": wrong}) == (400, "51000")


async def test_a_market_order_beyond_the_balance_shrinks_unless_it_bans_that(okx: OkxExchange) -> None:
    for side, size, target in (("buy", "2000000", "quote_ccy"), ("sell", "20", "base_ccy")):
        order_ = TAKING | {"side": side, "sz": size, "tgtCcy": target, "banAmend": True}
        assert await okx.private("trade/order", order_) == (200, "1", "51008")
    found = await order(okx, await okx.private("trade/order", TAKING | {"side": "sell", "sz": "20"}))
    assert Decimal(found["sz"]) == 10


async def test_batches_answer_for_each_order(okx: OkxExchange) -> None:
    """post-place-multiple-orders.md and post-cancel-multiple-orders.md: in turn, at most 20."""
    wrong = RESTING | {"clOrdId": "wrong", "sz": "20"}
    status, body = await okx.signed("trade/batch-orders", [RESTING | {"clOrdId": "a1"}, wrong, RESTING])
    answer_body = json.loads(body)
    assert (status, answer_body["code"], answer_body["msg"]) == (200, "2", "Bulk operation partially succeeded.")
    assert [row["sCode"] for row in answer_body["data"]] == ["0", "51008", "0"]
    assert [row["clOrdId"] for row in answer_body["data"]] == ["a1", "wrong", ""]
    accepted, refused = await okx.admin.receipt("main", "a1"), await okx.admin.receipt("main", "wrong")
    assert (accepted["accepted"], accepted["refused"], refused["accepted"], refused["refused"]) == (1, 0, 0, 1)
    named = [{"instId": "BTC-USDT", "clOrdId": "a1"}, {"instId": "BTC-USDT", "ordId": answer_body["data"][2]["ordId"]}]
    assert await okx.private("trade/cancel-batch-orders", [*named, named[0]]) == (200, "2", "0", "0", "51400")
    assert await okx.private("trade/orders-pending") == []
    assert await okx.private("trade/batch-orders", [wrong, wrong]) == (200, "1", "51008", "51008")
    assert await okx.private("trade/batch-orders", [RESTING] * 21) == (200, "51111")
    assert await okx.private("trade/cancel-batch-orders", [named[0]] * 21) == (400, "51406")


async def test_amending_changes_the_whole_size_and_the_price(okx: OkxExchange) -> None:
    (row,) = await okx.private("trade/order", RESTING | {"clOrdId": "am"})
    asked = {"instId": "BTC-USDT", "clOrdId": "am"}
    (done,) = await okx.private("trade/amend-order", asked | {"newSz": "0.02", "newPx": "61000", "reqId": "r1"})
    assert (done["ordId"], done["reqId"], done["sCode"]) == (row["ordId"], "r1", "0")
    found = await order(okx, [row])
    assert (found["sz"], found["px"], found["clOrdId"], found["state"]) == ("0.02", "61000", "am", "live")
    assert await okx.private("trade/amend-order", asked) == (200, "1", "51500")
    assert await okx.private("trade/amend-order", asked | {"newSz": "20"}) == (200, "1", "51502")
    assert (await order(okx, [row]))["sz"] == "0.02"
    failing = asked | {"newSz": "20", "cxlOnFail": True}
    assert await okx.private("trade/amend-order", failing) == (200, "1", "51502")
    assert (await order(okx, [row]))["state"] == "canceled"
    assert await okx.private("trade/amend-order", asked | {"newSz": "0.02"}) == (200, "1", "51503")


async def test_the_dead_mans_switch(okx: OkxExchange) -> None:
    """post-cancel-all-after.md: of the account or of a tag; 0 removes the switch."""
    tagged = await okx.private("trade/order", RESTING | {"tag": "mm"})
    plain = await okx.private("trade/order", RESTING)
    assert await okx.private("trade/cancel-all-after", {"timeOut": "10", "tag": "mm"}) == [
        {"triggerTime": "1700000010", "tag": "mm", "ts": "1700000000"}
    ]
    okx.advance(9_900, 100)
    assert (await order(okx, tagged))["state"] == "live"
    okx.advance(200, 100)
    assert ((await order(okx, tagged))["state"], (await order(okx, tagged))["cancelSource"]) == ("canceled", "20")
    assert (await order(okx, plain))["state"] == "live"
    await okx.private("trade/cancel-all-after", {"timeOut": "10"})
    (off,) = await okx.private("trade/cancel-all-after", {"timeOut": "0"})
    assert off["triggerTime"] == "0"
    okx.advance(11_000, 1_000)
    assert (await order(okx, plain))["state"] == "live"
    for wrong in ("9", "121", "x"):
        assert await okx.private("trade/cancel-all-after", {"timeOut": wrong}) == (400, "51000")
        okx.venue.faces["okx"].forgive()


# ------------------------------------------------------------------------------------------------------------ looking


async def test_open_orders_and_history_are_paged_by_id_newest_first(okx: OkxExchange) -> None:
    placed = [(await okx.private("trade/order", RESTING))[0]["ordId"] for _ in range(5)]

    async def ids(name: str, **query: Any) -> list[str]:
        return [row["ordId"] for row in await okx.private(name, **query)]

    pending = "trade/orders-pending"
    assert await ids(pending) == placed[::-1]
    assert await ids(pending, limit=2) == [placed[4], placed[3]]
    assert await ids(pending, after=placed[3], limit=2) == [placed[2], placed[1]]
    assert await ids(pending, before=placed[1], limit=2) == [placed[3], placed[2]]
    assert await ids(pending, instType="SWAP") == await ids(pending, instId="ETH-USDT") == []
    assert await ids(pending, ordType="post_only") == await ids(pending, state="partially_filled") == []
    for name in placed[:3]:
        await okx.private("trade/cancel-order", {"instId": "BTC-USDT", "ordId": name})
    assert await ids("trade/orders-history", instType="SPOT") == placed[2::-1]
    assert await okx.private("trade/orders-history") == (400, "50014")


async def test_cancelled_orders_with_nothing_filled_are_forgotten_after_two_hours(okx: OkxExchange) -> None:
    """get-order-history-last-7-days.md; orders with a fill are kept."""
    gone = await okx.private("trade/order", RESTING | {"clOrdId": "gone"})
    await okx.private("trade/cancel-order", {"instId": "BTC-USDT", "clOrdId": "gone"})
    kept = await okx.private("trade/order", TAKING | {"side": "buy", "sz": "700"})
    assert (await order(okx, gone))["state"] == "canceled"
    okx.clock.wall_ns += 7_200 * 10**9
    assert await okx.private("trade/order", instId="BTC-USDT", ordId=gone[0]["ordId"]) == (200, "51603")
    assert [row["ordId"] for row in await okx.private("trade/orders-history", instType="SPOT")] == [kept[0]["ordId"]]
    assert await okx.private("trade/order", instId="BTC-USDT", clOrdId="never") == (200, "51603")
    assert await okx.private("trade/order", instId="BTC-USDT") == (400, "50015")


async def test_fills_are_paged_by_bill_over_all_pairs(okx: OkxExchange) -> None:
    buying = TAKING | {"side": "buy", "sz": "700"}
    first = await okx.private("trade/order", buying | {"clOrdId": "f1"})
    await okx.private("trade/order", buying | {"instId": "ETH-USDT"})
    rows = await okx.private("trade/fills")
    bills = [int(row["billId"]) for row in rows]
    assert min(bills) > 2**53
    assert bills == sorted(bills, reverse=True)
    assert {row["instId"] for row in rows} == {"BTC-USDT", "ETH-USDT"}
    own = await okx.private("trade/fills", instType="SPOT", instId="BTC-USDT", ordId=first[0]["ordId"])
    assert {row["clOrdId"] for row in own} == {"f1"}
    found = await order(okx, first)
    assert sum(Decimal(row["fillSz"]) for row in own) == Decimal(found["accFillSz"])
    assert sum(Decimal(row["fee"]) for row in own) == Decimal(found["fee"]) < 0
    assert {(row["side"], row["execType"], row["feeCcy"], row["subType"]) for row in own} == {("buy", "T", "BTC", "1")}
    assert [row["billId"] for row in await okx.private("trade/fills", before=rows[-1]["billId"])] == [
        row["billId"] for row in rows[:-1]
    ]
    assert [row["billId"] for row in await okx.private("trade/fills", after=rows[0]["billId"])] == [
        row["billId"] for row in rows[1:]
    ]
    later = int(okx.clock.now_ns() // 1_000_000) + 60_000
    assert await okx.private("trade/fills", begin=later) == []


async def test_both_sides_of_a_trade_name_the_same_trade_and_other_bills(okx: OkxExchange) -> None:
    level = (await okx.admin.book("BTCUSDT"))["asks"][0]
    (row,) = await okx.private("trade/order", RESTING | {"px": level[0], "side": "sell"})
    through = RESTING | {"px": level[0], "sz": f"{Decimal(level[1]) + Decimal('0.01'):f}", "ordType": "ioc"}
    await okx.private("trade/order", through, key="OTHER")
    (fill,) = await okx.private("trade/fills", ordId=row["ordId"])
    assert (fill["execType"], fill["side"], fill["feeCcy"], fill["fillSz"]) == ("M", "sell", "USDT", "0.01")
    others = {each["tradeId"]: each for each in await okx.private("trade/fills", key="OTHER")}
    assert others[fill["tradeId"]]["execType"] == "T"


async def test_an_order_that_would_meet_one_of_the_same_account_cancels_that_one(okx: OkxExchange) -> None:
    """The default stpMode is cancel_maker."""
    level = (await okx.admin.book("BTCUSDT"))["asks"][0]
    first = await okx.private("trade/order", RESTING | {"px": level[0], "side": "sell"})
    through = RESTING | {"px": level[0], "sz": f"{Decimal(level[1]) + Decimal('0.01'):f}", "ordType": "ioc"}
    await okx.private("trade/order", through)
    found = await order(okx, first)
    assert (found["state"], found["cancelSource"], found["accFillSz"]) == ("canceled", "32", "0")


async def test_balances_fees_and_configuration(okx: OkxExchange) -> None:
    await okx.private("trade/order", RESTING)
    (answer_body,) = await okx.private("account/balance")
    held = {row["ccy"]: row for row in answer_body["details"]}
    assert held.keys() == {"BTC", "USDT"}
    usdt = held["USDT"]
    assert (usdt["cashBal"], usdt["availBal"], usdt["frozenBal"]) == ("1000000", "999400", "600")
    (answer_body,) = await okx.private("account/balance", ccy="BTC,ETH")
    assert [row["ccy"] for row in answer_body["details"]] == ["BTC"]
    (fees,) = await okx.private("account/trade-fee", instType="SPOT", instId="BTC-USDT")
    assert (fees["maker"], fees["taker"], fees["feeGroup"][0]["taker"]) == ("-0.001", "-0.001", "-0.001")
    (config,) = await okx.private("account/config")
    assert (config["acctLv"], config["perm"]) == ("1", "read_only,trade")
    assert len(await okx.private("account/instruments", instType="SPOT")) == 3
    assert (await okx.private("trade/account-rate-limit"))[0]["accRateLimit"] == "1000"


# -------------------------------------------------------------------------------------------------- limits, faults


async def test_orders_are_limited_by_user_and_instrument(okx: OkxExchange) -> None:
    okx.desk.limits.place = 2
    for _ in range(2):
        assert (await okx.private("trade/order", RESTING))[0]["sCode"] == "0"
    assert await okx.private("trade/order", RESTING) == (429, "50011")
    assert (await okx.private("trade/order", RESTING | {"instId": "ETH-USDT", "px": "2500", "sz": "0.1"}))[0]["ordId"]
    assert (await okx.private("trade/order", RESTING, key="OTHER"))[0]["sCode"] == "0"
    okx.advance(2_001, 2_001)
    assert (await okx.private("trade/order", RESTING))[0]["sCode"] == "0"
    okx.desk.limits.orders = 2
    assert await okx.private("trade/batch-orders", [RESTING] * 3) == (200, "2", "0", "50061", "50061")


async def test_faults_on_orders(okx: OkxExchange) -> None:
    """A status before, an unknown outcome or a cut after, a later reject, an unseen order, wrong balances."""
    endpoint = "POST /api/v5/trade/order"
    await okx.admin.fault(kind="status", endpoint=endpoint, status=503, count=1)
    assert await okx.private("trade/order", RESTING | {"clOrdId": "s1"}) == (503, "50001")
    receipt = await okx.admin.receipt("main", "s1")
    assert (receipt["received"], receipt["accepted"], receipt["refused"]) == (1, 0, 0)
    await okx.admin.fault(kind="accept_then_status", endpoint=endpoint, status=400, count=1)
    assert await okx.private("trade/order", RESTING | {"clOrdId": "s2"}) == (400, "50004")
    assert (await okx.admin.receipt("main", "s2"))["accepted"] == 1
    await okx.admin.fault(kind="reject_later", ms=100, count=1)
    late = await okx.private("trade/order", RESTING)
    assert (await order(okx, late))["state"] == "live"
    rejected = okx.venue.engine.accounts["main"].by_id[order_number(late[0]["ordId"]) or 0]
    await okx.eventually(lambda: rejected.status == "REJECTED")
    assert (await order(okx, late))["state"] == "canceled"
    await okx.admin.fault(kind="unseen", ms=1_000)
    fresh = await okx.private("trade/order", RESTING)
    assert await okx.private("trade/order", instId="BTC-USDT", ordId=fresh[0]["ordId"]) == (200, "51603")
    await okx.admin.clear_faults()
    await okx.admin.fault(kind="balance", account="main", asset="BTC", amount="1")
    (answer_body,) = await okx.private("account/balance", ccy="BTC")
    assert answer_body["details"][0]["availBal"] == "11"
