"""What protocols of the local exchange share: connections, fan-out, limits, the executor of faults, numbers.

Nothing here knows a protocol. A protocol is a folder beside this one; `face.py` says what it offers.
"""
