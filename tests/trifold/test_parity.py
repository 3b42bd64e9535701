"""Parity: the same row has the same bits however rows are cut and ordered."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import threadpoolctl
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trifold.answers import joined, same_bits
from trifold.contract import profile
from trifold.contract.contract import Contract
from trifold.model import Model, load
from trifold.ops import registry as registries
from trifold.ops.check import check
from trifold.packed import NATIVE, NOT_PROVEN
from trifold.parity import generate, measure, probe
from trifold.rows import Rows

sys.path.insert(0, str(Path(__file__).parent))
import models

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/train.py"))
MODELS = {"taxi": ("taxi-fare", "tip", "trip-duration"), "flights": ("arrival-delay", "air-time")}
"""Examples with models of other names than their own."""
CHUNKS = (1, 7, 64, 1_000)


@pytest.fixture(autouse=True)
def one_thread():
    """As the server and the probe have it: with several threads BLAS cuts rows by their number."""
    with threadpoolctl.threadpool_limits(1):
        yield


def assert_independent(model, rows):
    """Every chunk size and a shuffled order give the bits of all rows at once."""
    whole, count = model.predict(rows), len(rows)
    for size in CHUNKS:
        parts = [model.predict(rows.take(slice(start, start + size))) for start in range(0, count, size)]
        assert same_bits(joined(parts), whole), f"chunks of {size}"
    order = np.random.default_rng(0).permutation(count)
    assert same_bits(model.predict(rows.take(order)), whole.take(order)), "shuffled"


def columns(count):
    """The contract of so many doubles."""
    spec = [{"type": "double", "name": f"x{i}", "required": True} for i in range(count)]
    return Contract.read({"inputs": json.dumps(spec)})


@pytest.mark.parametrize(
    ("example", "name"), [(example, name) for example in EXAMPLES for name in MODELS.get(example, (example,))]
)
def test_an_example_is_bit_equal_in_chunks_of_any_size_and_order(example, name, registry):
    """Batch and web disagree in the last bits where rows are grouped as they come."""
    train = ROOT / "examples" / example / "train.py"
    subprocess.run([sys.executable, str(train), "--if-missing"], check=True, capture_output=True)
    pin = registries.pin(f"{name}@champion")
    report = check(pin)
    assert report.packed.parity != NOT_PROVEN
    packed, contract = report.packed, Contract.from_json(report.packed.contract)
    estimator = load(pin.folder, packed.file, packed.file_format, (), False, None)
    model = Model(estimator, contract, form=packed.form, blocks=packed.blocks)
    table = pq.read_table(profile.find(pin.folder, profile.REFERENCE_FILE))
    if contract.signature.tensor is None:
        checked = contract.check(table, extra="ignore")
    else:
        checked = contract.check_rows(np.column_stack(table.columns).tolist())
    assert_independent(model, checked.rows)


@pytest.mark.parametrize(
    "kind", [models.trees, models.boosting, models.histogram_boosting, models.svm, models.neighbours, models.network],
    ids=lambda kind: kind.__name__,
)  # fmt: skip
def test_what_the_probe_found_holds_for_other_rows(kind):
    """A block that was found on one sample gives the same bits on rows that it never saw."""
    estimator, X, _ = kind()
    model = Model(estimator, columns(X.shape[1]))
    seen, unseen = Rows(matrix=X.to_numpy()[:500]), Rows(matrix=X.to_numpy()[500:])
    assert probe(model, seen) != NOT_PROVEN
    assert_independent(model, unseen)


def test_trees_need_no_block():
    """A tree compares and adds within a row, so any grouping gives the same bits."""
    estimator, X, _ = models.trees()
    assert probe(Model(estimator, columns(6)), Rows(matrix=X.to_numpy())) == NATIVE


def test_a_linear_model_needs_one():
    """The arithmetic of BLAS depends on how many rows it is given: the reason for blocks."""
    X = models.numbers(20)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, models.label(X))
    model = Model(estimator, columns(20))
    rows = Rows(matrix=X.to_numpy())
    single = joined([model.predict(rows.take(slice(i, i + 1))) for i in range(len(rows))])
    assert not same_bits(single, model.predict(rows)), "this BLAS gives the same bits for any number of rows"
    assert probe(model, rows).startswith("block-")
    assert_independent(model, rows)


def test_larger_blocks_have_the_bits_of_the_smallest():
    """Many rows go in large blocks for speed, and must not be told apart from few."""
    X = models.numbers(20)
    model = Model(LogisticRegression().fit(X, models.label(X)), columns(20))
    rows = generate(model.contract, Rows(matrix=X.to_numpy()), 5_000)
    probe(model, rows)
    many, sizes = model.predict(rows), model.blocks
    assert len(sizes) > 1
    model.blocks = sizes[:1]
    assert same_bits(model.predict(rows), many)


def test_a_model_that_looks_at_its_neighbours_is_not_proven():
    """No block helps where a row's answer is made of the rows beside it."""
    X = models.numbers()
    model = Model(models.MeanOfBatch().fit(X, models.label(X)), columns(6))
    assert probe(model, Rows(matrix=X.to_numpy())) == NOT_PROVEN
    assert model.blocks == ()
    assert measure(model, Rows(matrix=X.to_numpy())) > 0.1


def test_rounding_is_no_other_answer():
    """A row in a block of another size has other last bits, and that is all."""
    X = models.numbers(20)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, models.label(X))
    assert measure(Model(estimator, columns(20)), Rows(matrix=X.to_numpy())) < 1e-12


def test_bits_are_compared_not_values():
    """0.0 is not -0.0, and NaN is itself."""
    from trifold.answers import Answers

    assert same_bits(Answers(np.array([np.nan])), Answers(np.array([np.nan])))
    assert not same_bits(Answers(np.array([0.0])), Answers(np.array([-0.0])))
