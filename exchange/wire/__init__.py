"""The shared parts of the protocols: connections, fan-out, limits, the executor of faults, numbers.

No module here knows a protocol. A protocol is a folder next to this folder; `face.py` defines its interface.
"""
