"""The parts of `AsyncMarket`, one file per noun, all derived from `AsyncRoom`; `sync` is generated from them."""
