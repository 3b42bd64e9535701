"""What the tests of the server, the build and the command line share: models built once, servers that really run."""

import json
import socket
from dataclasses import dataclass, field
from http.client import HTTPConnection
from subprocess import Popen

import numpy as np
import pandas as pd
import pytest

from trifold.ops import registry as registries
from trifold.ops.check import check
from trifold.ops.home import home
from trifold.ops.packaging import Built, build
from trifold.ops.serve import server


@dataclass
class Served:
    """A server of ours; its process, and a way to ask it."""

    built: Built
    process: Popen
    port: int
    connections: list[HTTPConnection] = field(default_factory=list)

    def ask(self, method, path, body=None, headers=(), timeout=30):
        """Status, headers and body of one answer, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def predict(self, document):
        """Status and decoded body for a document, or for text that stands for one."""
        text = document if isinstance(document, str | bytes) else json.dumps(document)
        status, _, body = self.ask("POST", "/predict", text, {"Content-Type": "application/json"})
        return status, json.loads(body)

    @property
    def model(self):
        """GET /model."""
        return json.loads(self.ask("GET", "/model")[2])


@pytest.fixture(scope="session")
def customers():
    """400 customers of mixed types, an optional column with missing values, and whether they left."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "tenure": random.integers(0, 72, 400),
            "charges": random.normal(60, 20, 400),
            "total": np.where(random.random(400) < 0.1, np.nan, random.normal(2000, 500, 400)),
            "active": random.random(400) < 0.5,
            "plan": random.choice(["basic", "plus", "pro"], 400),
            "region": random.choice(["north", "south"], 400),
        }
    )
    return table, np.where(table.tenure + random.normal(0, 10, 400) < 30, "Yes", "No")


@pytest.fixture(scope="session")
def customer_model(customers):
    """A pipeline over mixed columns that refuses a region it has not seen, and ignores such a plan."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["tenure", "charges", "total", "active"]),
        (OneHotEncoder(handle_unknown="ignore"), ["plan"]),
        (OneHotEncoder(handle_unknown="error"), ["region"]),
    )
    return make_pipeline(columns, LogisticRegression()).fit(*customers)


@pytest.fixture(scope="session")
def log(registry):
    """Log and register a fitted model with a profile; gives its address."""
    import trifold

    def log_one(name, estimator, X, **options):
        info = trifold.log_model(estimator, X, registered_model_name=name, **options)
        return f"{name}/{info.registered_model_version}"

    return log_one


@pytest.fixture(scope="session")
def built_customers(log, customers, customer_model):
    """The customers' Bento."""
    address = log("customers", customer_model, customers[0], title="Will they leave?", description="A <b>test</b>.")
    return build(check(registries.pin(address)))


@pytest.fixture(scope="session")
def built_numbers(log):
    """The Bento of a classifier of arrays, four numbers a row, with two outputs."""
    from sklearn.ensemble import RandomForestClassifier

    X = np.random.default_rng(0).normal(size=(300, 4))
    y = np.column_stack([X[:, 0] > 0, np.where(X[:, 1] > 0, 2, 1)])
    address = log("numbers", RandomForestClassifier(n_estimators=5, random_state=0).fit(X, y), X)
    return build(check(registries.pin(address)))


@pytest.fixture(scope="session")
def free_port():
    """A port that nobody listens on now."""

    def find():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return find


@pytest.fixture(scope="session")
def serve(free_port):
    """A context: a server of a Bento."""
    from contextlib import contextmanager

    @contextmanager
    def serve_one(built):
        port = free_port()
        with server(built, "127.0.0.1", port) as process:
            yield Served(built, process, port)

    return serve_one


@pytest.fixture(scope="module")
def customers_server(serve, built_customers):
    """A running server of the customers' model."""
    with serve(built_customers) as running:
        yield running


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """A home of its own, with the locks and environments that all tests share."""
    shared = home()
    for name in ("locks", "environments"):
        (shared / name).mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(shared / name)
    monkeypatch.setenv("TRIFOLD_HOME", str(tmp_path))
    return tmp_path
