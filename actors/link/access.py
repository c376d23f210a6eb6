"""Who may use a link: the key that both sides prove, and TLS where Ray has it.

The key is made of Ray's token and of a secret, which each incarnation of a link makes anew and tells over Ray to those
who ask. So a peer needs the token twice: to ask over Ray, and to make the key. A cluster without a token protects
nothing, and its links have the secret alone.

TLS is on exactly where Ray's is (`RAY_USE_TLS`), with the same files; both sides show a certificate.
"""

from __future__ import annotations

import hmac
import os
import ssl
from pathlib import Path

from ...keystore.private import expand
from ...model.errors import Misconfigured

TOKEN, TOKEN_FILE, OWN_TOKEN = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token"
USE_TLS = "RAY_USE_TLS"
CERTIFICATE, KEY, AUTHORITY = TLS_FILES = ("RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")
SECRET_BYTES = 32


def cluster_token() -> str:
    """Return Ray's token, from where Ray itself looks for it; empty if there is none.

    Raises:
        Misconfigured: the file of the token cannot be read.
    """
    if token := os.environ.get(TOKEN):
        return token.strip()
    path = Path(os.environ.get(TOKEN_FILE) or expand(OWN_TOKEN))
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"Ray's token {path}", f"cannot be read: {error}") from error


def link_key(token: str, secret: bytes) -> bytes:
    """Return the key of the link that told this secret."""
    return hmac.digest(token.encode(), b"venuemesh link" + secret, "sha256")


def uses_tls() -> bool:
    return os.environ.get(USE_TLS, "0").lower() in ("1", "true")


def tls_context(server: bool) -> ssl.SSLContext | None:
    """Return the context of one side; None where Ray has no TLS. Reads files: call it in a thread.

    Raises:
        Misconfigured: a file of Ray's TLS is not set, or cannot be used.
    """
    if not uses_tls():
        return None
    if missing := [name for name in TLS_FILES if not os.environ.get(name)]:
        raise Misconfigured(f"{USE_TLS}=1", f"needs {', '.join(missing)} too, as Ray does")
    certificate, key, authority = (os.environ[name] for name in TLS_FILES)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(authority)
        context.load_cert_chain(certificate, key)
        context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # an ssl.SSLError is one
        raise Misconfigured(f"the files of {', '.join(TLS_FILES)}", f"cannot be used: {error}") from error
    return context
