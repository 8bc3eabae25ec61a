"""Numbering the addresses of a log: what was met before is looked up, and is still right when everything collides."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.sources.logs import addresses as log_addresses
from auditor.sources.logs.addresses import LONGEST_ADDRESS, NOBODY, LogAddresses
from auditor.sources.logs.text_columns import PADDING, Column, Text

pytestmark = pytest.mark.slow

LONGEST = "fe80::5:aaaa:bbbb:0%".ljust(LONGEST_ADDRESS, "0")
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda one: one.exploded.upper()),
    st.integers(0, 40).map("10.0.0.{}".format),
    st.integers(0, 40).map("fe80::5:aaaa:bbbb:{:x}%12".format),
    st.sampled_from(["-", "host", "10.0.0.256", "1" * 60, LONGEST, LONGEST + "0"]),
)
BATCHES = st.lists(st.lists(ADDRESSES, min_size=1, max_size=60), min_size=1, max_size=5)


def numbered(addresses: LogAddresses, words: list[str]) -> list[str | None]:
    """Return what the numbers of some words stand for."""
    ends = np.cumsum([len(word) + 1 for word in words])
    text = Text(" ".join(words).encode() + b" " + PADDING)
    numbers = addresses.numbers(text, Column(np.append(0, ends[:-1]), ends - 1))
    return [None if one == NOBODY else addresses.names[one] for one in numbers.tolist()]


def plain(word: str) -> str | None:
    if len(word) > LONGEST_ADDRESS:
        return None
    try:
        return str(ipaddress.ip_address(word.partition("%")[0]))
    except ValueError:
        return None


WAYS = ("usual", "many at once", "few and many", "few slots", "all mixed to one number")


@pytest.fixture(params=WAYS, scope="module")
def slots(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "usual":
            patch.setattr(log_addresses, "FEW", 20 if request.param == "few and many" else 0)
        if request.param in ("few slots", "all mixed to one number"):
            patch.setattr(log_addresses, "FEWEST_SLOTS", 8)
            patch.setattr(log_addresses, "SLOTS_EACH", 2)
        if request.param == "few slots":
            patch.setattr(log_addresses, "MOST_SLOTS", 32)
        if request.param == "all mixed to one number":
            patch.setattr(log_addresses, "_mixed", lambda words: np.zeros_like(words[0]))
        yield


@pytest.mark.usefixtures("slots")
@settings(max_examples=60)
@given(batches=BATCHES)
def test_a_number_stands_for_the_address_wherever_it_comes_again(batches):
    addresses = LogAddresses()
    for words in [*batches, *batches]:
        assert numbered(addresses, words) == [plain(word) for word in words]
    assert len(addresses.names) == len(set(addresses.names))
