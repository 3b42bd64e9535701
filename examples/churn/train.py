"""Train the churn model, log it with Trifold's profile and call it champion."""

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
from trifold.contract.profile import Feature
from trifold.ops import registry, trainer

NAME = "churn"
ADDRESS = f"{NAME}@champion"
NUMBERS = ["tenure", "monthly_charges", "total_charges"]
CLASSES = {"Yes": "This customer will probably leave.", "No": "This customer will probably stay."}
FEATURES = {
    "female": Feature(title="Female"),
    "senior_citizen": Feature(title="Senior citizen"),
    "partner": Feature(title="Lives with a partner"),
    "dependents": Feature(title="Has dependants"),
    "tenure": Feature(title="Time as a customer", unit="months", minimum=0),
    "phone_service": Feature(title="Phone service"),
    "multiple_lines": Feature(title="Several phone lines"),
    "internet_service": Feature(title="Internet by"),
    "online_security": Feature(title="Online security"),
    "online_backup": Feature(title="Online backup"),
    "device_protection": Feature(title="Device protection"),
    "tech_support": Feature(title="Technical support"),
    "streaming_tv": Feature(title="Streams television"),
    "streaming_movies": Feature(title="Streams films"),
    "contract": Feature(title="Contract"),
    "paperless_billing": Feature(title="Paperless bills"),
    "payment_method": Feature(title="Pays by"),
    "monthly_charges": Feature(title="Charge a month", unit="dollars", minimum=0),
    "total_charges": Feature(title="Charges so far", unit="dollars", minimum=0),
}


def main() -> None:
    """Train unless asked not to."""
    options = trainer.parser(__doc__, ADDRESS).parse_args()
    trainer.run(ADDRESS, train, if_missing=options.if_missing)


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
            classes=CLASSES,
            key="customer_id",
            threshold=0.6,
        )
    return str(info.registered_model_version)


def pipeline(categories: list[str]) -> Pipeline:
    """Numbers imputed and scaled, categories one-hot, a logistic regression on both."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer((numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), categories))
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


if __name__ == "__main__":
    main()
