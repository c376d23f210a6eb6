"""The parts of `Market`, generated from those of `AsyncMarket` in `aio` by scripts/generate-sync."""
