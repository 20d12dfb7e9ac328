from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.domain.money import nano_usd, usd
from beast_ml.errors import InputError


@given(st.integers(0, 10**15))
def test_whole_nano_dollars_come_back_exactly(nano):
    assert nano_usd(Decimal(nano).scaleb(-9)) == nano


@given(st.floats(0, 1e6))
def test_an_amount_is_never_understated(amount):
    assert Decimal(nano_usd(amount)) >= Decimal(repr(amount)) * 10**9
    assert usd(nano_usd(amount)) == pytest.approx(amount, abs=1e-9)


@pytest.mark.parametrize("amount", [-0.01, float("nan"), float("inf"), 1e12])
def test_what_is_no_amount_of_money_is_refused(amount):
    with pytest.raises(InputError, match="USD"):
        nano_usd(amount)
