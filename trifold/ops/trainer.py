"""What training scripts have in common: --if-missing, the alias, and a line that says what was done."""

import argparse
import logging
import os
from collections.abc import Callable

import mlflow

from trifold.ops import registry
from trifold.ops.terminal import step


def parser(description: str | None, address: str) -> argparse.ArgumentParser:
    """The script's command line, for more options of its own.

    Args:
        description: The script's docstring.
        address: What it trains, such as "churn@champion".
    """
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--if-missing", action="store_true", help=f"do nothing if {address} is registered")
    return made


def run(address: str, train: Callable[[], str], *, if_missing: bool = False) -> None:
    """Train, and point the alias to the version that was made.

    Args:
        address: The model's name and the alias, such as "churn@champion".
        train: Fits, logs and registers; gives the version.
        if_missing: Do nothing if there is such a model.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its progress lines say nothing that is not printed here
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    with step("train") as said:
        if if_missing and registry.has(address):
            said.append(f"{address} is registered already")
            return
        version = train()
        name, alias = address.split("@")
        mlflow.MlflowClient().set_registered_model_alias(name, alias, version)
        said.append(f"{address} is version {version}")
