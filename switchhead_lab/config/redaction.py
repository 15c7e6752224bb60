"""Passwords and tokens masked in messages and records."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

from switchhead_lab.config.addresses import is_server

MASK = "***"
# Up to the last "@": passwords that should have been percent-encoded hold "@", "/", "?" and "#".
# One slash if a library normalised the address as a path.
_PASSWORD = r"(:/{{1,2}}[^\s:\"'<>]*):{any}*@"
_ADDRESS_PASSWORD = re.compile(_PASSWORD.format(any=r"[^\s\"'<>]"))
_WORD_PASSWORD = re.compile(_PASSWORD.format(any=r"[\s\S]"))
# On a tracking server, a user without a password is a token.
_TOKEN = re.compile(r"(\bhttps?://)[^\s:/@?#]+@", re.IGNORECASE)
_SECRET_NAME = r"(?:[\w.-]*(?:pass|pwd|secret|token|key|credential|auth|signature)[\w.-]*|sig)"
_QUERY_SECRET = re.compile(rf"([?&;#]{_SECRET_NAME}=)[^&;\s\"'<>]+", re.IGNORECASE)
# Shorter secrets would match parts of ordinary words; inside addresses they are masked anyway.
_MIN_LENGTH_ELSEWHERE = 4


def mask_passwords(text: str, *addresses: str) -> str:
    """Replace passwords and tokens with `***`.

    Args:
        text: Any text: a message, a diff.
        addresses: Addresses in use. Their secrets are masked everywhere, percent-encoded or not;
            the secrets of other addresses are masked inside those only.
    """
    secrets = {form for address in addresses for form in _secret_forms(address)}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _mask_addresses(text, _ADDRESS_PASSWORD)


def mask_word(word: str, *addresses: str) -> str:
    """Replace passwords and tokens in one command-line argument, which may hold spaces.

    Args:
        word: The argument.
        addresses: As for `mask_passwords`.
    """
    return _mask_addresses(mask_passwords(word, *addresses), _WORD_PASSWORD)


def mask_address(address: str) -> str:
    """Return an address without its passwords and tokens."""
    return mask_word(address, address)


def _mask_addresses(text: str, password: re.Pattern[str]) -> str:
    text = password.sub(rf"\1:{MASK}@", text)
    text = _TOKEN.sub(rf"\1{MASK}@", text)
    return _QUERY_SECRET.sub(rf"\1{MASK}", text)


def _secret_forms(address: str) -> Iterator[str]:
    """Yield the secrets of an address as written, decoded and encoded."""
    for secret in _secrets(address):
        for decoded in (secret, unquote(secret), unquote_plus(secret)):
            for safe in ("/", "", " +"):  # the last is SQLAlchemy's
                yield from (decoded, quote(decoded, safe=safe), quote_plus(decoded, safe=safe))


def _secrets(address: str) -> Iterator[str]:
    """Yield the secrets of an address, as a library parses it and as a misreading would show it."""
    user_info = address.partition("://")[2].rpartition("@")[0]
    user, colon, password = user_info.partition(":")
    known = [password, *(_http_secrets if is_server(address) else _database_secrets)(address)]
    for secret in known:
        # A password equal to the user name is shown as the user name anyway.
        if len(secret) >= _MIN_LENGTH_ELSEWHERE and not (colon and secret == user):
            yield secret


def _http_secrets(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return
    yield parts.password or (parts.username or "")
    yield from _query_secrets([*parse_qsl(parts.query), *parse_qsl(parts.fragment)])


def _database_secrets(address: str) -> Iterator[str]:
    if address.startswith("sqlite:///") or "://" not in address:
        return
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return
    yield url.password or ""
    for name, values in url.normalized_query.items():
        yield from _query_secrets((name, value) for value in values)


def _query_secrets(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (value for name, value in pairs if re.fullmatch(_SECRET_NAME, name, re.IGNORECASE))
