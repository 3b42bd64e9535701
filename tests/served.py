"""What the tests of the server, the page, the build and the command line share: models built once, real servers."""

import io
import json
import socket
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
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

    def pour(self, method, path, headers=(), seconds=20):
        """Send a body that does not end: the first piece of the answer, the bytes that the server read, the seconds.

        Fails if the connection is still open after some seconds.
        """
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: x",
            "Transfer-Encoding: chunked",
            *map(": ".join, dict(headers).items()),
        ]
        before, began = self._read_bytes(), time.monotonic()
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012 - in any piece
                while time.monotonic() < began + seconds:
                    connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            took = time.monotonic() - began
            return connection.recv(65536), self._read_bytes() - before, took

    def _read_bytes(self):
        """What the process has read until now, from files and sockets."""
        return int(Path(f"/proc/{self.process.pid}/io").read_text().split("rchar: ")[1].split()[0])

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
def make(registry):
    """A function that builds the Bento of a registered model."""
    return lambda address: build(check(registries.pin(address)))


@pytest.fixture(scope="session")
def built_customers(log, make, customers, customer_model):
    """The customers' Bento."""
    address = log("customers", customer_model, customers[0], title="Will they leave?", description="A <b>test</b>.")
    return make(address)


@pytest.fixture(scope="session")
def built_other_customers(log, make, built_customers, customers, customer_model):
    """The Bento of the customers' version 2, which answers a little otherwise."""
    from sklearn.base import clone

    other = clone(customer_model).set_params(logisticregression__C=0.5)
    return make(log("customers", other.fit(*customers), customers[0]))


@pytest.fixture(scope="session")
def built_numbers(log, make):
    """The Bento of a classifier of arrays, four numbers a row, with two outputs."""
    from sklearn.ensemble import RandomForestClassifier

    X = np.random.default_rng(0).normal(size=(300, 4))
    y = np.column_stack([X[:, 0] > 0, np.where(X[:, 1] > 0, 2, 1)])
    return make(log("numbers", RandomForestClassifier(n_estimators=5, random_state=0).fit(X, y), X))


@pytest.fixture(scope="session")
def side_pictures():
    """Two hundred grey pictures of 16 x 16 that are bright on one side, and which: "left" or "right"."""
    random = np.random.default_rng(0)
    left = np.arange(200) % 2 == 0
    pictures = random.integers(0, 60, (200, 16, 16))
    pictures[left, :, :8] += 150
    pictures[~left, :, 8:] += 150
    return pictures.astype("uint8"), np.where(left, "left", "right")


@pytest.fixture(scope="session")
def picture_file():
    """A function that makes the file of a picture, a PNG unless told otherwise."""
    from PIL import Image

    def write(picture, kind="PNG"):
        file = io.BytesIO()
        Image.fromarray(picture).resize((128, 128), Image.Resampling.NEAREST).save(file, kind)
        return file.getvalue()

    return write


@pytest.fixture(scope="session")
def built_pictures(log, make, side_pictures, picture_file):
    """The Bento of a model of pictures, which says which side is bright."""
    from sklearn.linear_model import LogisticRegression

    from trifold.contract.profile import ImageInput

    pictures, sides = side_pictures
    X = pictures.reshape(len(pictures), -1)
    address = log(
        "sides",
        LogisticRegression(max_iter=500).fit(X, sides),
        X,
        title="Which side is bright?",
        note="This is a test.",
        image=ImageInput(width=16, height=16),
        samples={"Bright on the left": picture_file(pictures[0]), "Bright on the right": picture_file(pictures[1])},
        classes={"left": "The left side is bright.", "right": "The right side is bright."},
        threshold=0.7,
    )
    return make(address)


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
    def serve_one(built, port=None):
        port = port or free_port()
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
