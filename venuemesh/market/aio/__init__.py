"""The rooms of `AsyncMarket`, one file a noun, all over one `AsyncRoom`; `sync` is generated from them."""
