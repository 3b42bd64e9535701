"""Train the sales-forecast model on all months, log it with its backtest and Trifold's profile, call it champion."""

import tempfile
from pathlib import Path

import mlflow
import pandas as pd
from backtest import backtest, scores
from data import LAGS, load, sales
from model import pipeline

import trifold
from trifold.contract.profile import Feature
from trifold.ops import registry, trainer

NAME = "sales-forecast"
ADDRESS = f"{NAME}@champion"
UNIT = "million AUD"
FEATURES = {
    **{
        f"lag_{lag}": Feature(title=f"Sales {lag} month{'s' if lag > 1 else ''} before", unit=UNIT, minimum=0)
        for lag in LAGS
    },
    "month_of_year": Feature(title="Month of the year to forecast, 1 to 12"),
}


def main() -> None:
    """Train unless asked not to."""
    parser = trainer.parser(__doc__, ADDRESS)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the backtest's picture here as well")
    options = parser.parse_args()
    trainer.run(ADDRESS, lambda: train(options.picture), if_missing=options.if_missing)


def train(file: Path | None = None) -> str:
    """Fit, log, register; gives the version."""
    registry.use_experiment(NAME)
    X, y = load()
    table = backtest()
    found = scores(table)
    newest_first = X[::-1].reset_index(drop=True)  # the first rows become the example on the page
    with mlflow.start_run():
        mlflow.log_metrics(found)
        _log_picture(table, file)
        info = trifold.log_model(
            pipeline().fit(X, y),
            newest_first,
            registered_model_name=NAME,
            title="What will the next month's sales be?",
            description="Australia's sales of anti-diabetic drugs in a month, from those of the twelve months before.",
            features=FEATURES,
            key="month",
            unit=UNIT,
            interval=found["interval"],
        )
    return str(info.registered_model_version)


def _log_picture(table: pd.DataFrame, file: Path | None) -> None:
    from picture import draw  # matplotlib takes a second

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "backtest.png"
        draw(target, sales(), table)
        mlflow.log_artifact(str(target))
        if file:
            file.write_bytes(target.read_bytes())


if __name__ == "__main__":
    main()
