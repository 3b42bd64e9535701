"""Train the two models of departures, arrival-delay and air-time, log them and call each champion."""

import mlflow
from data import CHOICES, COLUMNS, NUMBERS, load
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import trifold
from trifold.contract.profile import Feature
from trifold.ops import registry, trainer

FEATURES = {
    "month": Feature(title="Month", minimum=1, maximum=12),
    "day": Feature(title="Day of the month", minimum=1, maximum=31),
    "sched_dep_time": Feature(title="Planned departure, as 1430"),
    "dep_delay": Feature(title="Delay when it left", unit="minutes"),
    "distance": Feature(title="Distance", unit="miles", minimum=0),
    "hour": Feature(title="Hour of the planned departure", minimum=0, maximum=23),
    "carrier": Feature(title="Airline"),
    "origin": Feature(title="Airport"),
}
TITLES = {
    "arrival-delay": ("arr_delay", "How late will this flight arrive?", "Minutes of delay, when a flight has left."),
    "air-time": ("air_time", "How long will this flight be in the air?", "Minutes in the air, when a flight has left."),
}
ROWS = 60_000
"""Of the flights, for training: a straight line learns no more from all of them."""


def main() -> None:
    """Train unless asked not to."""
    options = trainer.parser(__doc__, "arrival-delay@champion and air-time@champion").parse_args()
    for name in TITLES:
        trainer.run(f"{name}@champion", lambda name=name: train(name), if_missing=options.if_missing)


def train(name: str) -> str:
    """Fit one of the models, log it, register it; gives the version."""
    label, title, description = TITLES[name]
    flights = load().sample(ROWS, random_state=0)
    registry.use_experiment(name)
    X_train, X_test, y_train, y_test = train_test_split(flights[COLUMNS], flights[label], random_state=0)
    model = pipeline().fit(X_train, y_train)
    with mlflow.start_run():
        mlflow.log_metric("mean_absolute_error", mean_absolute_error(y_test, model.predict(X_test)))
        info = trifold.log_model(
            model, X_train, registered_model_name=name, title=title, description=description, features=FEATURES,
            unit="minutes",
        )  # fmt: skip
    return str(info.registered_model_version)


def pipeline() -> Pipeline:
    """Numbers scaled, airline and airport one-hot, a straight line: fast, so that a stream shows what it can do."""
    choices = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(make_column_transformer((StandardScaler(), NUMBERS), (choices, CHOICES)), Ridge())


if __name__ == "__main__":
    main()
