"""Train the churn model, log it with Trifold's profile and call it champion.

Usage: train.py [--if-missing]
"""

import argparse
import logging
import os
import time

import mlflow
from data import load
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import trifold
from trifold.ops import registry
from trifold.profile import Feature

NAME, ALIAS = "churn", "champion"
NUMBERS = ["tenure", "monthly_charges", "total_charges"]
FEATURES = {
    "tenure": Feature(title="Months as a customer", unit="months", minimum=0),
    "monthly_charges": Feature(title="Charge a month", unit="dollars", minimum=0),
    "total_charges": Feature(title="Charges so far", unit="dollars", minimum=0),
    "contract": Feature(title="Contract"),
    "payment_method": Feature(title="Pays by"),
    "internet_service": Feature(title="Internet"),
}


def main() -> None:
    """Train unless asked not to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--if-missing", action="store_true", help=f"do nothing if {NAME}@{ALIAS} is registered")
    options, start = parser.parse_args(), time.monotonic()
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its progress lines say nothing that is not printed here
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    address = f"{NAME}@{ALIAS}"
    if options.if_missing and registry.has(address):
        words = f"{address} is registered already"
    else:
        words = f"{address} is version {train()}"
    print(f"  {'train':<11} {words:<56} {time.monotonic() - start:6.1f} s", flush=True)


def train() -> str:
    """Fit, log, register; gives the version."""
    customers, left = load()
    registry.use_experiment(NAME)
    X_train, X_test, y_train, y_test = train_test_split(customers, left, test_size=0.2, random_state=0, stratify=left)
    model = pipeline(customers.columns.difference(NUMBERS).tolist()).fit(X_train, y_train)
    auc = roc_auc_score(y_test == "Yes", model.predict_proba(X_test)[:, 1])
    with mlflow.start_run():
        mlflow.log_metric("auc", auc)
        info = trifold.log_model(
            model,
            X_train,
            registered_model_name=NAME,
            title="Will this customer leave?",
            description="Whether a customer of a telephone company will leave, from contract, services and charges.",
            features=FEATURES,
            key="customer_id",
            threshold=0.6,
        )
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(NAME, ALIAS, info.registered_model_version)
    return str(info.registered_model_version)


def pipeline(categories: list[str]) -> Pipeline:
    """Numbers imputed and scaled, categories one-hot, a logistic regression on both."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer((numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), categories))
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


if __name__ == "__main__":
    main()
