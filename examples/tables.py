"""Fill the tables that the batch examples read, in a PostgreSQL: customers and sales. One that is there stays as it is.

`make up` runs it with the platform's database; for another one:

Usage: TRIFOLD_OWNER_URI=postgresql://… tables.py
"""

import importlib.util
import os
import sys
from pathlib import Path

import pyarrow as pa

from trifold.database import Database
from trifold.errors import TrifoldError
from trifold.ops.terminal import step

HERE = Path(__file__).parent


def customers() -> pa.Table:
    """A row a customer: customer_id, and what the churn model is asked with."""
    table, _ = data_of("churn").load()
    table.insert(0, "customer_id", [f"C{number:05d}" for number in range(1, len(table) + 1)])
    return pa.Table.from_pandas(table, preserve_index=False)


def sales() -> pa.Table:
    """A row a month: its first day, and the sales in million AUD."""
    table = pa.Table.from_pandas(data_of("sales-forecast").sales(), preserve_index=False)
    return table.set_column(0, "month", table.column("month").cast(pa.date32()))


TABLES = {"customers": (customers, "customer_id"), "sales": (sales, "month")}


def fill(uri: str) -> list[str]:
    """Make the tables that are missing, with their primary keys; gives the names of those that were made."""
    made = []
    with Database(uri) as database:
        for name, (load, key) in TABLES.items():
            if database.rows("SELECT to_regclass($1)::text", f"public.{name}") != [(None,)]:
                continue
            [piece] = load().combine_chunks().to_batches()
            database.make("public", name, piece)
            database.run(f"ALTER TABLE public.{name} ADD PRIMARY KEY ({key})")
            made.append(f"{name} ({piece.num_rows:,} rows)")
        database.commit()
    return made


def data_of(example: str) -> object:
    """The module data.py of an example, whose folder's name is no package's."""
    spec = importlib.util.spec_from_file_location(f"{example}_data", HERE / example / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    try:
        with step("tables") as said:
            said.append(", ".join(fill(os.environ["TRIFOLD_OWNER_URI"])) or "customers and sales are there already")
    except (KeyError, TrifoldError) as error:
        sys.exit(f"error: {'TRIFOLD_OWNER_URI is not set' if isinstance(error, KeyError) else error}")
