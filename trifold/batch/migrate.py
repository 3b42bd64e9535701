"""Make or update a release's tables, of batch runs and its stream, as their owner; again and again gives the same."""

from collections.abc import Sequence
from pathlib import Path

from trifold.database import Database, literal, quoted
from trifold.errors import JobError
from trifold.versions import Version

SQL = Path(__file__).parent / "sql"
MOST_CLASSES = 100
"""Classes that the view spreads into columns; of a model with more, the column probabilities holds them."""
TEST = "__test"
"""What ends the name of the schema that `helm test` uses."""
NAME_BYTES = 63
"""Longest name of a column in PostgreSQL."""


def migrate(database: Database, schema: str, scorer: str, version: Version, jobs: Sequence[str]) -> None:
    """Make what is missing, in one transaction: the release's schema, and the one of its tests.

    Args:
        database: A connection of the owner.
        schema: The release's schema.
        scorer: The role that scores.
        version: The model version that will score.
        jobs: Names of the release's jobs, which are due from now on.

    Raises:
        JobError: The schema holds predictions of another type.
    """
    for name in (schema, schema + TEST):
        for statement in statements(tables(name, scorer, version)):
            database.run(statement)
        _require_type(database, name, version)
        version.insert(database, quoted(name))
        for statement in statements(views(name, scorer, version, _classes(database, name))):
            database.run(statement)
    for job in jobs:
        database.rows(f"INSERT INTO {quoted(schema)}.batch_jobs (job) VALUES ($1) ON CONFLICT DO NOTHING", job)
    database.commit()


def tables(schema: str, scorer: str, version: Version) -> str:
    """The script that makes the tables."""
    parts = {"schema": quoted(schema), "scorer": quoted(scorer), "prediction": version.type}
    return _filled("tables.sql", **parts) + "\n" + _filled("stream.sql", **parts)


def views(schema: str, scorer: str, version: Version, classes: Sequence[str]) -> str:
    """The script that makes the views, with a column a class."""
    columns, taken = [], set[str]()
    for name in classes[:MOST_CLASSES]:
        column = _column(name, taken)
        columns.append(f",\n    p.probabilities[array_position(v.classes, {literal(name)})] AS {quoted(column)}")
    width = version.type == "float8"
    lower, upper = ("p.prediction - v.half_width", "p.prediction + v.half_width") if width else ("NULL::float8",) * 2
    parts = {"lower": lower, "upper": upper, "classes": "".join(columns)}
    return _filled("views.sql", schema=quoted(schema), scorer=quoted(scorer), **parts)


def statements(script: str) -> list[str]:
    """The statements of a script of ours, which ends each with a semicolon at the end of a line."""
    lines = "\n".join(line.partition(" -- ")[0] for line in script.splitlines() if not line.startswith("--"))
    return [statement.strip() for statement in lines.split(";\n") if statement.strip()]


def _filled(name: str, **parts: str) -> str:
    text = (SQL / name).read_text()
    for part, value in parts.items():
        text = text.replace("{" + part + "}", value)
    return text


def _classes(database: Database, schema: str) -> list[str]:
    """Every class that any version had, in the order in which they came."""
    found = database.rows(f"SELECT unnest(classes) FROM {quoted(schema)}.batch_versions ORDER BY added")
    return list(dict.fromkeys(name for (name,) in found))


def _column(name: str, taken: set[str]) -> str:
    """A class's column; cut names stay different."""
    column = "probability_" + name
    number = 1
    while len(column.encode()) > NAME_BYTES or column in taken:
        number += 1
        column = ("probability_" + name).encode()[: NAME_BYTES - 5].decode(errors="ignore") + f"_{number}"
    taken.add(column)
    return column


def _require_type(database: Database, schema: str, version: Version) -> None:
    [[found]] = database.rows(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute "
        f"WHERE attrelid = {literal(quoted(schema) + '.batch_predictions')}::regclass AND attname = 'prediction'"
    )
    known = {"float8": "double precision", "float8[]": "double precision[]"}
    wanted = known.get(version.type, version.type)
    if found != wanted:
        raise JobError(
            f"The predictions in schema {schema} are {found}, and version {version.version} answers {wanted}: set "
            "batch.database.schema to another name."
        )
