"""`Market` and `AsyncMarket`: a strategy's view of one exchange of a mesh.

`Market` is for sync code and `AsyncMarket` for async code, with the same names in both; `market.aio` gives the
`AsyncMarket` of a `Market`. A call that waits for another process blocks in `Market` and is awaited in `AsyncMarket`;
iterators use `for` in `Market` and `async for` in `AsyncMarket`. A call that reads local memory, or only hands over and
returns, is an ordinary call in both: `order_book`, `trading_pairs`, `ready`, `quantize_price`, `new_order`, `buy`,
`sell`, `cancel`.

Files: `aio` is written by hand, one file per noun; `sync` is generated from `aio`; `market` defines both classes over a
shared `state`; `link` is the interface to a mesh.
"""
