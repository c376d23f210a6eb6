"""The rules of the tree: who may import whom, and who may import Ray."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("model", "orderbook", "connectors", "journal", "keystore", "actors", "supervisor", "conformance", "exchange")
VOCABULARY = {"model", "orderbook"}
PARTS = VOCABULARY | {"connectors", "journal", "keystore"}
HOSTED = PARTS | {"actors", "supervisor", "market", "config"}
# What each folder may import of its sisters; those of `venuemesh/` itself are named by their place there.
MAY = {
    "model": set(),
    "orderbook": {"model"},
    "connectors": VOCABULARY,
    "journal": {"model"},
    "keystore": {"model"},
    "actors": PARTS,
    "supervisor": PARTS | {"actors"},
    "exchange": VOCABULARY,
    "config": PARTS | {"actors", "supervisor"},  # the settings that it makes of a file
    "market": PARTS | {"actors"},
    "mesh": HOSTED,
    "defaults.py": set(),
    "testing.py": HOSTED | {"mesh", "exchange", "defaults"},
    "conformance": HOSTED | {"testing"},  # it hosts roles without Ray and looks at accounts as a strategy does
    "web": HOSTED | {"mesh"},
    "cli": HOSTED | {"mesh", "web", "exchange", "conformance", "testing", "defaults"},
    "__main__.py": {"cli"},
    "__init__.py": HOSTED | {"mesh"},
}
IMPORT_RAY = re.compile(r"actors/cell/ray_\w+\.py|supervisor/ray_\w+\.py|venuemesh/mesh/\w+\.py")


def modules():
    for folder in (*FOLDERS, "venuemesh"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if folder == "venuemesh" and path.relative_to(ROOT / folder).parts[0] in FOLDERS:
                continue  # the links to the folders themselves
            yield folder, path


@cache
def imports(path):
    """Return the level and the name of each imported module."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or node.names[0].name))
    return found


def test_imports_are_relative_and_point_down():
    wrong = []
    for folder, path in modules():
        inside = path.relative_to(ROOT / folder).parts
        place, depth = (folder, len(inside)) if folder != "venuemesh" else (inside[0], len(inside) - 1)
        for level, module in imports(path):
            sister = module.split(".")[0]
            if level == 0 and sister == "venuemesh":
                wrong.append(f"{path.relative_to(ROOT)}: absolute import of {module}")
            if level == depth + 1 and sister not in MAY[place] | {place, "__version__"}:
                wrong.append(f"{path.relative_to(ROOT)}: imports {sister}")
    assert not wrong, "\n".join(wrong)


def test_few_files_import_ray():
    importing = {
        str(path.relative_to(ROOT))
        for _, path in modules()
        if any(level == 0 and module.split(".")[0] == "ray" for level, module in imports(path))
    }
    assert not [path for path in importing if IMPORT_RAY.fullmatch(path) is None]


def test_every_folder_is_linked():
    for folder in FOLDERS:
        link = ROOT / "venuemesh" / folder
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{folder}"


def test_every_folder_of_code_is_a_package():
    for _, path in modules():
        assert (path.parent / "__init__.py").exists(), f"{path.parent.relative_to(ROOT)} has no __init__.py"


# What only the folders of an exchange may know. Names and hosts are found in any case, the words as they are written.
OWN_WORDS = {
    "binance": """lastUpdateId depthUpdate aggTrade bookTicker serverShutdown executionReport outboundAccountPosition
        balanceUpdate listStatus exchangeInfo filterType tickSize stepSize newClientOrderId origClientOrderId
        newOrderRespType cummulativeQuoteQty quoteOrderQty commissionAsset listenKey recvWindow REQUEST_WEIGHT
        @depth @trade /api/v3 /sapi X-MBX""",
    "bybit": """retCode retMsg retExtInfo nextPageCursor lotSizeFilter priceFilter basePrecision maxLimitOrderQty
        publicTrade req_id ret_msg turnover24h timeNano orderLinkId /v5/ X-BAPI X-Bapi""",
    "coinbase": """quote_increment base_increment min_market_funds l2update last_match client_oid product_id
        CB-ACCESS""",
    "htx": """seqNum prevSeqNum subbed unsubbed err-code err-msg price-precision amount-precision lomaxoa smmaxoa
        bmmaxov trade.detail depth.step0 api-trading huobi X-HB-RateLimit""",
    "kraken": """wsname altname pair_decimals lot_decimals ordermin costmin AssetPairs unixtime event_trigger XBTUSD""",
    "okx": """instId instType instIdCode prevSeqId seqId tickSz lotSz minSz maxLmtSz maxMktSz baseCcy quoteCcy
        bidPx askPx vol24h volCcy24h tradeId clOrdId ordId sCode connId /ws/v5 /api/v5 OK-ACCESS
        x-simulated-trading books5 bbo-tbt""",
}
OTHERS = """kraken okx okex bybit coinbase htx huobi kucoin bitget bitfinex bitstamp hyperliquid deribit bitmex"""
CCXT = "ccxt"  # its folder has what is particular to single exchanges of ccxt
SUFFIXES = {".py", ".pyx", ".pxd", ".pyi", ".h", ".txt", ".toml", ".yaml", ".in"}
# file -> why it may name an exchange, and which words
NAMED = {
    "pyproject.toml": (
        "the entry points of the connectors that come along",
        {"binance", "bybit", "coinbase", "htx", "kraken", "okx"},
    ),
    "venuemesh/defaults.py": ("the one default of commands and test tools", {"binance"}),
}


def exchanges():
    """The exchanges that have a native connector."""
    return sorted({path.parent.name for path in (ROOT / "connectors").glob("*/spec.py")} - {CCXT})


def own_folders():
    """The folders of exchanges: those of connectors, and those of protocols that the local exchange speaks."""
    faces = {path.parent for path in (ROOT / "exchange").glob("*/face.py")}
    return faces | {ROOT / "connectors" / exchange for exchange in (*exchanges(), CCXT)}


def words_of(exchange):
    """Return the words that name an exchange: its name, hosts, paths, answer headers and fields."""
    spec = import_module(f"venuemesh.connectors.{exchange}").CONNECTOR.spec
    hosts = {spec.rest, spec.ws, spec.ws_api or spec.ws}
    hosts |= {url for at in spec.environments.values() for url in (at.rest, at.ws, at.ws_api or at.ws)}
    named = {exchange, *(urlsplit(url).hostname for url in hosts), *spec.used_headers, *spec.account_headers}
    paths = {endpoint.path for endpoint in spec.endpoints.values()}
    paths = {path for path in paths if path.count("/") > 1}  # a path such as /time is nobody's own
    return named, paths | set(OWN_WORDS.get(exchange, "").split())


def common_files():
    """Yield every file of the package and of the root that is common to all exchanges."""
    folders = [ROOT / folder for folder in FOLDERS] + [ROOT / "venuemesh"]
    paths = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.iterdir())
    for path in sorted(path for path in paths if path.suffix in SUFFIXES and path.is_file()):
        inside = path.relative_to(ROOT).parts
        own = own_folders() & set(path.parents)
        linked = inside[0] == "venuemesh" and inside[1] in FOLDERS
        if not own and not linked:
            yield "/".join(inside), path.read_text(encoding="utf-8")


def test_only_its_own_folders_know_an_exchange():
    known = [words_of(exchange) for exchange in exchanges()]
    names = {name.lower() for found, _ in known for name in found} | set(OTHERS.split())
    words = {word for _, found in known for word in found}
    wrong, used = [], set()
    for path, text in common_files():
        lower = text.lower()
        met = {name for name in names if name in lower} | {word for word in words if word in text}
        _, allowed = NAMED.get(path, ("", set()))
        if met & allowed:
            used.add(path)
        wrong += [f"{path}: knows {word!r}" for word in sorted(met - allowed)]
    wrong += [f"{path}: no longer needs an exception; remove it from NAMED" for path in sorted(set(NAMED) - used)]
    assert not wrong, "\n".join(wrong)
