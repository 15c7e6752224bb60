"""Keeping passwords out of what is written down."""

import re

_USER_INFO = re.compile(r"(://[^:/@\s]*):[^@/\s]+@")


def mask_passwords(text: str) -> str:
    """Replace the passwords of addresses (`scheme://user:password@host`) by `***`."""
    return _USER_INFO.sub(r"\1:***@", text)
