"""`venuemesh console` on a running mesh, fed through standard input; and without IPython."""

import subprocess
import sys

import pytest

CONSOLE = "from venuemesh.__main__ import main; main()"
pytestmark = [pytest.mark.timeout(300)]


@pytest.mark.ray
def test_mesh_market_and_helpers_are_at_hand(service, state, tmp_path):
    typed = (
        "market.wait_ready()\n"
        "await market.aio.wait_ready()\n"
        "print('live', book('BTC-USDT').state.name, np.__name__, sorted(pairs()), mesh.name)\n"
        "status()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", CONSOLE, "console", "--mesh", "service"],
        input=typed,
        env={**state, "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "live LIVE numpy ['BTC-USDT', 'ETH-USDT'] service" in done.stdout
    assert "book/binance/ETH-USDT" in done.stdout


def test_without_ipython_it_says_what_to_install(state):
    hidden = f"import sys; sys.modules['IPython'] = None; sys.argv = ['venuemesh', 'console']; {CONSOLE}"
    done = subprocess.run(
        [sys.executable, "-c", hidden], env=state, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "venuemesh: console: IPython is not installed; pip install 'venuemesh[console]'"
