import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.domain import Price
from beast_ml.domain.money import nano_usd
from beast_ml.logs.sql_values import text_sql
from beast_ml.operations.costs.amounts import nano_sql, price_sql

CONNECTION = duckdb.connect()


def in_sql(expression: str, **columns: object) -> object:
    names = ", ".join(f"${name} AS {name}" for name in columns)
    return CONNECTION.execute(f"SELECT {expression} FROM (SELECT {names})", columns).fetchone()[0]  # noqa: S608 - ours


@given(
    st.one_of(
        st.floats(0, 1e5), st.integers(0, 10**14).map(lambda nano: nano / 1e9), st.decimals(0, 1, places=9).map(float)
    )
)
@settings(max_examples=300, deadline=None)
def test_the_database_rounds_money_as_the_ledger_does(amount: float) -> None:
    assert in_sql(nano_sql("cost_usd"), cost_usd=float(amount)) == nano_usd(float(amount))


@pytest.mark.parametrize("amount", [0.1 + 0.2, 0.3, 1e-10, 5e-324, 0.29, 1.1e-9, 123456.789012345])
def test_so_it_does_where_decimals_and_doubles_part(amount: float) -> None:
    assert in_sql(nano_sql("cost_usd"), cost_usd=amount) == nano_usd(amount)


def test_what_is_not_known_stays_so() -> None:
    assert in_sql(nano_sql("CAST(cost_usd AS DOUBLE)"), cost_usd=None) is None


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 100), st.floats(0, 100), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_tokens_cost_in_the_database_what_the_price_says(n_in, n_out, per_in, per_out, per_s) -> None:
    price = Price(per_in, per_out, usd_per_request=0.001, usd_per_s=per_s)
    said = in_sql(price_sql(price), input_tokens=n_in, output_tokens=n_out, latency_s=1.5)
    assert said == price.cost_usd(n_in, n_out, 1.5)


def test_a_text_cannot_leave_its_quotes() -> None:
    text = "a' OR tenant_id <> '"
    assert in_sql(f"{text_sql(text)} = x", x=text)
