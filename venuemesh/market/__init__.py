"""`Market` and `AsyncMarket`: one exchange of a mesh, as a strategy sees it.

`Market` is for sync code and `AsyncMarket` for async code, with the same names in both; `market.aio` gives the
`AsyncMarket` of a `Market`. What waits for another process blocks in `Market` and is awaited in `AsyncMarket`, and
iterators are `for` in one and `async for` in the other. What reads local memory or hands over and returns at once is an
ordinary call in both: `order_book`, `trading_pairs`, `ready`, `quantize_price`, `new_order`, `buy`, `sell`, `cancel`.

Files: `aio` is written by hand, one file a noun; `sync` is generated from it; `market` puts both together over one
`state`, and `link` is what they need of a mesh.
"""
