"""TLS of the TCP listener: a certificate and its key from two PEM files, read at start."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from postino.config import Settings
from postino.errors import BadField

HANDSHAKE_S = 5.0  # as long as the head of a request may take
SHUTDOWN_S = 1.0  # for the peer's part of the end of a connection


def context(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of the TCP listener, TLS 1.2 or newer, or None if no certificate is set.

    Raises:
        BadField: a file cannot be read, or the two do not make a certificate and its key.
    """
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None or key is None:
        return None
    for variable, path in (("POSTINO_TLS_CERT", cert), ("POSTINO_TLS_KEY", key)):
        _check_readable(variable, path)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(cert, key, password=_refuse_password)
    except ssl.SSLError as error:
        reason = {
            "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
            "NO_START_LINE": "one of them holds no PEM",
        }.get(error.reason or "", f"they are no certificate and its key in PEM ({error.reason or 'unreadable'})")
        raise BadField(
            f"POSTINO_TLS_CERT={cert} and POSTINO_TLS_KEY={key}: {reason}", field="POSTINO_TLS_CERT"
        ) from None
    return made


def _check_readable(variable: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise BadField(f"{variable}={path} cannot be read: {error.strerror}", field=variable) from None


def _refuse_password() -> NoReturn:
    raise BadField("POSTINO_TLS_KEY is encrypted; give a key without a password", field="POSTINO_TLS_KEY")
