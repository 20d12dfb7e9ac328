"""Money in DuckDB's SQL: integer nano-dollars, the same to the last one as `beast_ml.domain.money.nano_usd` gives."""

from __future__ import annotations

from beast_ml.domain import Price

__all__ = ["nano_sql", "price_sql"]


def nano_sql(amount: str) -> str:
    """Return SQL for an amount in USD as nano-dollars, rounded up; null stays null.

    The least integer k with ``k / 1e9 >= amount`` in double arithmetic. Below a million USD that is what rounding up
    the shortest decimal gives: a decimal of at most 15 digits is the shortest one of the double nearest to it, so
    ``amount == k / 1e9`` says that the amount was written as k nano-dollars.

    Parameters
    ----------
    amount
        An expression of a double, at least 0.
    """
    up = f"ceil(({amount}) * 1e9)"
    return (
        f"CAST(CASE WHEN ({up} - 1) / 1e9 >= ({amount}) THEN {up} - 1 "
        f"WHEN {up} / 1e9 < ({amount}) THEN {up} + 1 ELSE {up} END AS BIGINT)"
    )


def price_sql(price: Price) -> str:
    """Return SQL for what a row's tokens (and seconds) cost at a price, in USD; null where they are not known.

    The same operations in the same order as `Price.cost_usd`.
    """
    per_input, per_output = (_double(x) for x in (price.input_usd_per_mtok, price.output_usd_per_mtok))
    latency = "latency_s" if price.usd_per_s else "0.0"
    tokens = f"(CAST(input_tokens AS DOUBLE) * {per_input} + CAST(output_tokens AS DOUBLE) * {per_output}) / 1e6"
    return f"({tokens} + {_double(price.usd_per_request)} + {latency} * {_double(price.usd_per_s)})"


def _double(value: float) -> str:
    return f"CAST('{float(value)!r}' AS DOUBLE)"
