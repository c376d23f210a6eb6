"""OKX's protocol for spot over the engine, following the manual: REST, and both websockets.

Source: docs/crypto/okx of qiuham/marketdata-api-doc, a crawl of www.okx.com/docs-v5/en of 2026-09-08, read 2026-11-27;
each module names its pages.
"""

from ..face import Protocol
from .face import Okx

PROTOCOL = Protocol("okx", Okx)
