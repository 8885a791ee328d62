"""Origins as browsers send them."""

from __future__ import annotations

import ipaddress
import re

ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,9}))?", re.ASCII | re.IGNORECASE)
DEFAULT_PORTS = {"http": 80, "https": 443}


def sent_form(origin: str) -> str | None:
    """What a browser writes into the header `Origin` (RFC 6454, section 6.2).

    Args:
        origin: As somebody writes it, such as `"HTTPS://Shop.example:443"`.

    Returns:
        Scheme and host in lower case, and the port where it is not that of the scheme: `"https://shop.example"`. None
        for what no browser would send: another scheme, a path, a wildcard, a host that is not in ASCII.
    """
    found = ORIGIN.fullmatch(origin)
    if not found:
        return None
    scheme, host, port = found[1].lower(), _host(found[2].lower()), found[3]
    if host is None or (port and int(port) > 65535):
        return None
    return f"{scheme}://{host}" + (f":{int(port)}" if port and int(port) != DEFAULT_PORTS[scheme] else "")


def _host(host: str) -> str | None:
    """The host as a browser writes it, None for an address that is none."""
    try:
        if host.startswith("["):
            address = ipaddress.IPv6Address(host[1:-1])
            # Python writes these in another way than browsers do, and in different ways from version to version.
            return host if address.ipv4_mapped else f"[{address.compressed}]"
        last = host.rstrip(".").rpartition(".")[2]
        return str(ipaddress.IPv4Address(host)) if last.isdigit() else host
    except ValueError:
        return None
