from __future__ import annotations

import importlib
import json
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning.personal_data import FINDERS, mask, masking
from pipeline.errors import ResourceError
from pipeline.sections import CleanSettings

# Keys are put together here, so that no scanner takes this file for a leak.
KEYS = [
    "sk-" + "proj-abcdefghij0123456789", "sk-" + "ant-api03-abcdefghij0123456789",
    "gh" + "p_" + "a1B2" * 9, "github" + "_pat_" + "11ABCDEFG0abcdefghijkl_mnop",
    "AKIA" + "IOSFODNN7EXAMPLE", "xox" + "b-123456789012-abcdef",
    "AI" + "za" + "Sy0123456789" * 2 + "abcdefghijk",
    "gl" + "pat-abcdefghij0123456789", "hf" + "_" + "aBc1" * 8, "sk" + "_live_" + "a1b2" * 6,
    "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "-----BEGIN RSA " + "PRIVATE KEY-----\n\nMIIEpAIBAAKC/A+7abc=\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN " + "PRIVATE KEY----- " + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIB",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to jane.doe+x@mail.example.org.", "Write to [email]."),
        ("<a_b@example.co.uk>, (c-d@x.io)", "<[email]>, ([email])"),
        ("Call +49 (0) 30 1234-5678 now", "Call [phone] now"),
        ("Call +1.202.555.0143.", "Call [phone]."),
        ("Call +442079460958", "Call [phone]"),
        (
            "Call (202) 555-0143, 202-555-0143 or 1-202.555.0143!",
            "Call [phone], [phone] or [phone]!",
        ),
        ("Appelez 01 23 45 67 89 ou 06.12.34.56.78.", "Appelez [phone] ou [phone]."),
        ("In London 020 7946 0958, or 01632 960983", "In London [phone], or [phone]"),
        ("Tel.: 030/123456-7, Fax no: (089) 12 34 56", "Tel.: [phone], Fax no: [phone]"),
        ("Pay to DE89 3704 0044 0532 0130 00 by May", "Pay to [iban] by May"),
        ("BE68 5390 0754 7034 AND GB29NWBK60161331926819", "[iban] AND [iban]"),
        ("card 4111 1111 1111 1111 or 378282246310005", "card [card] or [card]"),
        ("5555-5555-5555-4444, exp 12/30", "[card], exp 12/30"),
        ("login from 93.184.216.34 failed", "login from [ip] failed"),
        ("the host 17.5.7.3:8080 is down", "the host [ip]:8080 is down"),
        ("resolved to 2606:2800:220:1:248:1893:25c8:1946", "resolved to [ip]"),
        ("[2a00:1450:4001:81b::200e]:443", "[[ip]]:443"),
        ("password=hunter2x&next", "password=[password]&next"),
        ('pwd: "correct-horse"', 'pwd: "[password]"'),
        ("API_KEY = abc123def456", "API_KEY = [password]"),
        ("{'client_secret': 'Zx9!kf20'}", "{'client_secret': '[password]'}"),
        ("https://jane:pa55@db.example.org/x", "https://[password]@db.example.org/x"),
        ("Authorization: Bearer abc.def-0123456789", "Authorization: Bearer [key]"),
        ("Authorization: Basic amFuZTpwYTU1", "Authorization: Basic [key]"),
        *((f"uses {key} here", "uses [key] here") for key in KEYS),
    ],
)
def test_personal_data_is_masked(text: str, expected: str) -> None:
    assert mask(text)[0] == expected


@pytest.mark.parametrize(
    "text",
    ["user@host is not an address", "@decorator.name", "a @ b.c", "x+1234567 is a sum",
     "offset +0000 and +01:00", "2026-11-22 08:18:18", "version 3.11.7.1234", "C++ 20 2023 1234",
     "numbers 12345678 and 1 2 3 4 5 6 7 8", "ISBN 978-3-16-148410-0",
     "from 1994-2007 to 2008-2012",
     "mean 301-295.95 and 202-555.014", "part 33471-90901, zip 06520-8041", "build 20230615-1830",
     # Not addresses of anybody: versions, private and documented ones, slices, times.
     "Chrome version 96.0.210.45", "v1.2.200.4 is out", "release 2.0.201.3", "see section 1.2.3.4",
     "127.0.0.1, 10.200.3.4, 192.168.0.1, 255.255.255.0 and 203.0.113.7", "1.2.3.400",
     "1.2.3.4.500",
     "a[::2] and b[2000:3000:2]", "std::vector, fe80::1, 2001:db8::1 and ::1", "at 20:15:30",
     "de:ad:be:ef:00:01",
     # Checksums that are wrong, issuers that are none.
     "4111 1111 1111 1112", "1234567890123452", "0000 0000 0000 0000",
     "DE89 3704 0044 0532 0130 01",
     "XX12 3456 7890 1234",
     # What stands for a secret, is looked up, or is prose.
     "password: the password to use", "password=None", "passwd=getpass()", "token = get_token2()",
     "password=$PASSWORD1", "api_key=your-key-1", "secret: ********", "pwd='password'",
     "password=[password]", "The secret=key pair", "Bearer tokens are short-lived credentials",
     "sk-learn is a nickname", "task-abcdefghijklmnopqrstuvwxyz012345", "http://host:8080/a@b", "ftp://user:password@host/x"],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert mask(text) == (text, Counter())


def test_what_was_masked_is_counted_by_kind() -> None:
    text = "a@example.org, b@example.org or +49 30 12345678"
    assert mask(text)[1] == {"email": 2, "phone": 1}


def test_a_mask_is_named_after_its_kind() -> None:
    for kind in FINDERS:
        assert mask(f"It is [{kind}]. [{kind}]@x, {kind}=[{kind}]") == (
            f"It is [{kind}]. [{kind}]@x, {kind}=[{kind}]", Counter(),
        )  # fmt: skip


PARTS = st.sampled_from(
    ["jane@x.org", "@", "x.org", "+4930123456", "(202) 555-0143", "tel: ", "030 1234567",
     "password=", "pwd: '",
     "hunter2x", "'", "https://", ":", "93.184.216.34", "from ", "2606:2800:220:1::1",
     "DE89370400440532013000",
     "4111111111111111", "4", "A", "[", "]", "[email]", "[key]", " ", "-", ".", "Bearer ", "é",
     *KEYS]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text("a.@+1 -()") | st.lists(PARTS, max_size=12).map("".join))
def test_masking_twice_masks_nothing_more(text: str) -> None:
    once = mask(text)[0]
    assert mask(once) == (once, Counter())


@given(st.integers(10**11, 10**13 - 1))
def test_one_check_digit_in_ten_makes_a_card(number: int) -> None:
    texts = [f"card 4{number:014d}{digit}" for digit in range(10)]
    assert sum(mask(text)[1]["card"] for text in texts) == 1


@pytest.mark.parametrize("kind", sorted(FINDERS))
@pytest.mark.parametrize(
    "part",
    ["a", "a.", "a@", "+1 ", "a@a.", "1-", "+1(", "1.", "1:", "2000:", "4111 ", "DE89 ", "DE89",
     "0", "A0",
     "://a:", "://:", "password=", "password: a", "pwd=a1", "Bearer ", "eyJ", "eyJaaaaaaaa.",
     "sk-", "sk-a1",
     "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----a ", "tel: 1",
     "tel", "01 23 "],
)  # fmt: skip
def test_time_grows_with_the_length_of_the_text_only(kind: str, part: str) -> None:
    text = part * 50_000 + "@1:"
    start = time.perf_counter()
    for finder in FINDERS[kind]:
        finder.pattern.sub("", text)
    assert time.perf_counter() - start < 5


def test_masking_follows_the_settings() -> None:
    text = "Write to me@example.org."
    assert masking(CleanSettings())(text) == mask(text)
    assert masking(CleanSettings(mask_personal_data=False))(text) == (text, Counter())


def test_a_missing_presidio_is_an_error_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "presidio_analyzer", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(ResourceError, match=r"presidio is not installed.*angle-adapt\[presidio\]"):
        masking(CleanSettings(personal_data="presidio"))


def spacy_model(folder: Path) -> str:
    """Write an installed model that knows one name."""
    import spacy  # noqa: PLC0415 - optional

    name, package = "en_tiny", folder / "en_tiny"
    language = spacy.blank("en")
    language.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Jane Doe"}])  # type: ignore[attr-defined]
    language.meta.update(name="tiny", version="0.0.0")
    package.mkdir()
    language.to_disk(package / f"{name}-0.0.0")
    (package / "meta.json").write_text(json.dumps(language.meta))
    (package / "__init__.py").write_text(
        "from spacy.util import load_model_from_init_py\n"
        "def load(**options):\n    return load_model_from_init_py(__file__, **options)\n"
    )
    information = folder / f"{name}-0.0.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.0\n")
    return name


def test_presidio_also_finds_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("presidio_analyzer", reason="the extra presidio is not installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ResourceError, match=r"en_no_model is not installed.*spacy download"):
        masking(CleanSettings(personal_data="presidio", presidio_model="en_no_model"))
    chosen = CleanSettings(personal_data="presidio", presidio_model=spacy_model(tmp_path))
    text = "Ask Jane Doe (jane@x.org), social security number 536-90-4399."
    assert masking(chosen)(text) == (
        "Ask [person] ([email]), social security number [us_ssn].",
        Counter(person=1, email=1, us_ssn=1),
    )
