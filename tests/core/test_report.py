"""Reports: what agrees, what differs, and that a report cannot loosen its own bounds."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core.errors import VerifyError
from luban.core.report import Claim, Report

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.booleans()
claims = st.builds(
    Claim,
    value=numbers | st.text(),
    unit=st.text(max_size=5),
    low=st.none() | st.floats(allow_nan=False),
    high=st.none() | st.floats(allow_nan=False),
    n=st.none() | st.integers(0, 10**12),
)


@given(st.dictionaries(st.text(), claims), st.dictionaries(st.text(), st.text()))
def test_round_trip_and_agreement_with_itself(
    found: dict[str, Claim], inputs: dict[str, str]
) -> None:
    report = Report("evaluate", found, inputs, "luban verify", {"samples": ["a"]})
    again = Report.from_dict(json.loads(json.dumps(report.to_dict())))
    assert again.to_dict() == report.to_dict() or any(
        isinstance(c.value, float) and math.isnan(c.value) for c in found.values()
    )
    assert report.differences(again) == []
    assert again.differences(report) == []
    again.confirm(report)


BASE = Claim(2.0, "nats", 1.9, 2.1, 100)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (replace(BASE, value=2.0 + 1e-3), True),
        (replace(BASE, value=2.0 + 3e-3), False),
        (replace(BASE, low=1.95), False),
        (replace(BASE, high=2.2), False),
        (replace(BASE, high=None), False),
        (replace(BASE, n=101), False),
        (replace(BASE, unit="bits"), False),
        (replace(BASE, value="2.0"), False),
        (replace(BASE, note="another way"), False),
    ],
)
def test_agreement(other: Claim, same: bool) -> None:
    assert BASE.agrees(other, 1e-3) is same
    assert other.agrees(BASE, 1e-3) is same


def test_whole_numbers_texts_and_truth_must_be_identical() -> None:
    assert not Claim(1000).agrees(Claim(1001), 0.1)
    assert not Claim("a").agrees(Claim("b"), 0.1)
    assert not Claim(True).agrees(Claim(False), 10)


def test_what_is_not_a_number_agrees_with_itself_alone() -> None:
    for value in (math.nan, math.inf, -math.inf):
        assert Claim(value).agrees(Claim(value), 1e-3)
        assert not Claim(value).agrees(Claim(1.0), 1e-3)
        assert not Claim(1.0).agrees(Claim(value), 1e-3)


def test_numbers_beside_zero_agree_within_an_absolute_bound() -> None:
    assert Claim(0.0).agrees(Claim(1e-7), 1e-3)
    assert not Claim(0.0).agrees(Claim(1e-5), 1e-3)


def test_differences_name_each_claim() -> None:
    report = Report("e", {"a": Claim(1.0), "b": Claim(2), "gone": Claim("x")})
    fresh = Report("e", {"a": Claim(1.1), "b": Claim(2), "new": Claim("y")})
    lines = report.differences(fresh)
    assert [line.split(": ")[1] for line in lines] == ["a", "gone", "new"]
    assert "reported 1, recomputed 1.1" in lines[0]
    with pytest.raises(VerifyError, match="a number does not hold"):
        report.confirm(fresh)


def test_a_report_does_not_set_the_tolerance_it_is_judged_by() -> None:
    forged = Report("e", {"a": Claim(0.5)}, tolerance=1e9)
    assert forged.differences(Report("e", {"a": Claim(1.5)}))


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (Claim(1.23456, "nats", 1.2, 1.3), "1.235 [1.2, 1.3] nats"),
        (Claim(1234567, "tokens"), "1,234,567 tokens"),
        (Claim(123456.7), "123,457"),
        (Claim(True), "True"),
        (Claim("abc"), "abc"),
    ],
)
def test_a_claim_reads_well(claim: Claim, text: str) -> None:
    assert str(claim) == text
