"""The local exchange: a matching engine behind the wire protocols of real exchanges, in a separate process.

It imports only `model` and `orderbook`, never a connector: a client and a server with the same codec would share the
codec's mistakes. Run it with ``python -m venuemesh.exchange --json``; docs/local-exchange.md has every endpoint.
"""
