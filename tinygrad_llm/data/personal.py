"""Mail and IP addresses, replaced by addresses that belong to no one.

FineWeb masks the same two (Penedo et al. 2024, arXiv:2406.17557, section 3.8). The replacements are
reserved for examples: example.com by RFC 2606, 192.0.2.1 by RFC 5737, 2001:db8::1 by RFC 3849.
Addresses of private networks and of the machine itself name no one and stay.
"""

import ipaddress
import re

PERSONAL = "mail and IP addresses masked"
MAIL, IPV4, IPV6 = "email@example.com", "192.0.2.1", "2001:db8::1"

# At most 64 characters before the @ and labels of at most 63: the time stays linear in the text.
_MAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,63}"
    r"(?![\w-])"
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", re.ASCII)
# Of 2000::/3, which is all that is public: abc::def in C++ is none of these.
_IPV6 = re.compile(
    r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])"
)


def mask_personal(text: str) -> str:
    """The text with every mail address and public IP address replaced."""
    if "@" in text:
        text = _MAIL.sub(MAIL, text)
    text = _IPV4.sub(lambda match: _public(match[0], IPV4), text)
    return _IPV6.sub(lambda match: _public(match[0], IPV6), text)


def _public(address: str, replacement: str) -> str:
    try:
        return replacement if ipaddress.ip_address(address).is_global else address
    except ValueError:
        return address
