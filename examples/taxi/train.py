"""Train the three models of cab events, taxi-fare, trip-duration and tip, log them and call each champion."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlflow
import pandas as pd
from data import durations, fares, load
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import mean_absolute_error, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import trifold
from trifold.contract.profile import Feature
from trifold.ops import registry, trainer

NUMBERS, CHOICES = ["distance", "hour"], ["company", "local", "dow", "month"]
FEATURES = {
    "distance": Feature(title="Distance", unit="miles", minimum=0),
    "company": Feature(title="Taxi company"),
    "local": Feature(title="Stays in its part of the city"),
    "dow": Feature(title="Day of the week"),
    "month": Feature(title="Month"),
    "hour": Feature(title="Hour it begins, 0 to 23", minimum=0, maximum=23),
}


@dataclass(frozen=True)
class Example:
    """One of the models.

    Attributes:
        columns: What it is told of a trip.
        label: What it learns, from the trips and the column tip.
        pipeline: What learns it.
        score: Name and function of its score on trips that it has not seen.
        profile: Title, description, unit or classes.
    """

    columns: list[str]
    label: Callable[[pd.DataFrame, pd.Series], pd.Series]
    pipeline: Callable[[], Pipeline]
    score: tuple[str, Callable[[Any, pd.DataFrame, pd.Series], float]]
    profile: dict[str, Any]


def fare() -> Pipeline:
    """A straight line: the tariff is one."""
    return make_pipeline(LinearRegression())


def duration() -> Pipeline:
    """Trees, since the speed jumps with the hour."""
    columns = make_column_transformer((OrdinalEncoder(), ["dow"]), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingRegressor(max_iter=60, random_state=0))


def tip() -> Pipeline:
    """A logistic regression on all that is known at booking."""
    columns = make_column_transformer((StandardScaler(), NUMBERS), (OneHotEncoder(handle_unknown="ignore"), CHOICES))
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


def error(model: Any, X: pd.DataFrame, y: pd.Series) -> float:
    """Mean absolute error."""
    return float(mean_absolute_error(y, model.predict(X)))


def auc(model: Any, X: pd.DataFrame, y: pd.Series) -> float:
    """Area under the ROC curve of a tip."""
    return float(roc_auc_score(y == "yes", model.predict_proba(X)[:, 1]))


EXAMPLES = {
    "taxi-fare": Example(
        ["distance"],
        lambda trips, _: fares(trips),
        fare,
        ("mean_absolute_error", error),
        {
            "title": "What will this cab ride cost?",
            "description": "The fare of a ride in Chicago, from its distance, at booking. Trained on simulated fares.",
            "unit": "dollars",
        },
    ),
    "trip-duration": Example(
        ["distance", "hour", "dow"],
        lambda trips, _: durations(trips),
        duration,
        ("mean_absolute_error", error),
        {
            "title": "How long will this cab ride take?",
            "description": "Minutes of a ride in Chicago, from distance, hour and day, when it starts. Trained on "
            "simulated durations.",
            "unit": "minutes",
        },
    ),
    "tip": Example(
        [*NUMBERS, *CHOICES],
        lambda _, tips: tips,
        tip,
        ("auc", auc),
        {
            "title": "Will there be a tip?",
            "description": "Whether a cab's passengers in Chicago will tip, as it is booked. Trained on real trips.",
            "classes": {"yes": "There will probably be a tip.", "no": "There will probably be no tip."},
        },
    ),
}


def main() -> None:
    """Train unless asked not to."""
    options = trainer.parser(__doc__, "taxi-fare@champion, trip-duration@champion and tip@champion").parse_args()
    for name in EXAMPLES:
        trainer.run(f"{name}@champion", lambda name=name: train(name), if_missing=options.if_missing)


def train(name: str) -> str:
    """Fit one of the models, log it, register it; gives the version."""
    example = EXAMPLES[name]
    trips, tips = load()
    registry.use_experiment(name)
    X, y = trips[example.columns], example.label(trips, tips)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    model = example.pipeline().fit(X_train, y_train)
    metric, score = example.score
    with mlflow.start_run():
        mlflow.log_metric(metric, score(model, X_test, y_test))
        features = {column: FEATURES[column] for column in example.columns}
        info = trifold.log_model(model, X_train, registered_model_name=name, features=features, **example.profile)
    return str(info.registered_model_version)


if __name__ == "__main__":
    main()
