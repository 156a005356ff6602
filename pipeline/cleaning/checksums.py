"""Numbers that prove themselves: payment cards, bank accounts and internet addresses."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

# Country -> length of its IBANs (ISO 13616, the SWIFT registry of 2024).
_IBANS: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 "
    "IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 "
    "MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 "
    "SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_IBAN_LENGTHS: Final = {entry[:2]: int(entry[2:]) for entry in _IBANS.split()}
IBAN: Final = re.compile(r"(?<!\w)[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
CARD: Final = re.compile(r"(?<![\w.+-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-])")
IPV4: Final = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\w)")
IPV6: Final = re.compile(
    r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])"
)
# First digits and length of the cards of Visa, Mastercard, American Express, Discover, Diners, JCB.
_ISSUERS: Final = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720))\d*(?<=^\d{16})|"
    r"3[47]\d{13}|(?:6011|65\d\d|64[4-9]\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"
)
_VERSION: Final = re.compile(
    r"(?:\b(?:versions?|ver|release[sd]?|revision|rev|build|update|v)\.?\s*|[\w]-|\bv)$",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(
    r"\b(?:ip|ips|ipv4|addr|address|addresses|host|hosts|server|client|peer|from|ping|gateway|dns|"
    r"nameserver|subnet|netmask|remote|router|https?)\b[^\w]{0,4}(?:\w{1,12}[^\w]{1,3}){0,2}$",
    re.IGNORECASE,
)
_CONTEXT: Final = 40  # characters before an address that say what it is
_PUBLIC: Final = ipaddress.ip_network("2000::/3")


def is_card(match: re.Match[str]) -> bool:
    """Tell whether the digits are those of an issuer, and their check digit (Luhn) is right."""
    digits = re.sub(r"\D", "", match.group())
    if not _ISSUERS.fullmatch(digits) or len(set(digits)) < 2:
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def iban_length(text: str) -> int:
    """Return how many characters at the start of ``text`` are an IBAN; 0 when none is right.

    Its country says how many letters and digits it has; as a number, modulo 97, it is 1.
    """
    left = _IBAN_LENGTHS.get(text[:2], 0)
    compact = ""
    for place, character in enumerate(text):
        if left == 0:
            break
        if character != " ":
            compact += character
            left -= 1
            end = place + 1
    if left or not compact:
        return 0
    number = int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4]))
    return end if number % 97 == 1 else 0


def is_public_ipv4(match: re.Match[str]) -> bool:
    """Tell whether four numbers are the address of a machine on the internet.

    Addresses that lead to nobody (private, loopback, for documentation) are left alone, and so are
    versions: four small numbers are an address only where the words before them say so.
    """
    try:
        address = ipaddress.IPv4Address(match.group())
    except ValueError:
        return False
    before = match.string[max(0, match.start() - _CONTEXT) : match.start()]
    if not address.is_global or address.is_multicast or _VERSION.search(before):
        return False
    return max(address.packed) >= 100 or bool(_ADDRESS.search(before))


def is_public_ipv6(match: re.Match[str]) -> bool:
    """Tell whether the groups are an address in the part of IPv6 that is given out, 2000::/3."""
    try:
        address = ipaddress.IPv6Address(match.group())
    except ValueError:
        return False
    return address in _PUBLIC and address.is_global
