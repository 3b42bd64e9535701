"""What may be loaded: hostile files are refused before anything of them runs, and benign ones load."""

import importlib
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
import scipy.stats
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import fbeta_score, get_scorer_names, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    LeaveOneOut,
    PredefinedSplit,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedShuffleSplit,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from trifold.errors import ArtifactError, UntrustedModel
from trifold.ops import expected
from trifold.trust import TRUSTED, load_estimator

X = np.abs(np.random.default_rng(0).normal(size=(60, 4)))
Y = (X[:, 0] > 0.6).astype(int)

WATCH = """
import json, pathlib, sys
from trifold.errors import TrifoldError
from trifold.trust import load_estimator
import skops.io
seen = []
def hook(event, arguments):
    opened = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    runs = event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect", "exec", "compile")
    if opened or runs:
        seen.append(event)
for path in sys.argv[1:]:
    sys.addaudithook(hook) if path == sys.argv[1] else None
    try:
        load_estimator(pathlib.Path(path), "skops")
        print(json.dumps([path, "loaded", seen]))
    except TrifoldError as error:
        print(json.dumps([path, type(error).__name__, seen]))
    seen.clear()
"""


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


def dumped(path, estimator):
    """A skops file."""
    skops.io.dump(estimator, path)
    return path


def node(loader, module, name, **more):
    """A node of skops' schema."""
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1, **more}


def written(path, schema):
    """A skops file of a hand-made schema."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("schema.json", json.dumps({**schema, "protocol": 2, "_skops_version": "0.16.0"}))
    return path


def text(value):
    """A JSON leaf."""
    return node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


def tuple_of(*items):
    """A tuple node."""
    return node("TupleNode", "builtins", "tuple", content=list(items))


FUNCTIONS = (
    ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("numpy", "load"), ("subprocess", "Popen"),
    ("numpy.testing._private.utils", "runstring"), ("numpy", "fromfile"), ("pickle", "loads"), ("joblib", "load"),
    ("sklearn.utils._testing", "ignore_warnings"), ("scipy.io", "loadmat"), ("pandas", "read_pickle"),
)  # fmt: skip


def hostile(folder):
    """Files that would run something, by name."""
    files = {}
    for module, name in FUNCTIONS:
        for loader in ("FunctionNode", "TypeNode"):
            files[f"{loader}-{module}.{name}"] = node(loader, module, name)
        arguments = tuple_of(text("echo evil"))
        files[f"construct-{module}.{name}"] = node("ConstructorFromReduceNode", module, name, content=arguments)
        files[f"object-{module}.{name}"] = node("ObjectNode", module, name, content=arguments)
        inner = {
            "func": node("FunctionNode", module, name),
            "args": arguments,
            "kwds": node(
                "DictNode", "builtins", "dict", content={}, key_types=node("ListNode", "builtins", "list", content=[])
            ),
            "namespace": text(None),
        }
        files[f"partial-{module}.{name}"] = node("PartialNode", "functools", "partial", content=inner)
    caller = tuple_of(text("system"), text("echo evil"))
    files["methodcaller"] = node("OperatorFuncNode", "operator", "methodcaller", attrs=caller)
    return [written(folder / f"{name}.skops", schema) for name, schema in files.items()]


def test_files_that_would_run_something_are_refused_and_run_nothing(tmp_path):
    """A tampered registry must not become code on the server: no process, no file, no socket, no compiled code."""
    files = [str(path) for path in hostile(tmp_path)]
    command = [sys.executable, "-W", "ignore", "-c", WATCH, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(files) > 50
    assert [result for result in results if result[1] == "loaded"] == []
    # Some names are looked up to be judged; an import may compile, but nothing is opened for writing or started.
    assert [result for result in results if set(result[2]) - {"exec", "compile"}] == []


@pytest.mark.parametrize("file_format", ["pickle", "cloudpickle"])
def test_a_pickle_is_not_even_opened_without_the_flag(tmp_path, monkeypatch, file_format):
    """Loading a pickle runs it, so it is refused by its format alone."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UntrustedModel, match="pickle"):
        load_estimator(path, file_format)
    assert not (tmp_path / "evil-was-here").exists()


def test_a_pickle_that_calls_itself_skops_is_refused(tmp_path, monkeypatch):
    """The format in the artifact is its author's word."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_estimator(path, "skops")
    assert not (tmp_path / "evil-was-here").exists()


def test_a_pickle_loads_for_who_vouches_for_it(tmp_path):
    """Most registries hold pickles of older MLflow."""
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(LogisticRegression().fit(X, Y)))
    assert load_estimator(path, "pickle", allow_pickle=True).coef_.shape == (1, 4)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None], ids=["empty", "stub", "cut"])
def test_damaged_files_are_refused_in_a_sentence(tmp_path, damage):
    """A download that broke must not end in a traceback."""
    path = dumped(tmp_path / "model.skops", LogisticRegression().fit(X, Y))
    path.write_bytes(path.read_bytes()[:300] if damage is None else damage)
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_estimator(path, "skops")


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path):
    """A zip of some kilobytes can hold gigabytes."""
    path = tmp_path / "bomb.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", b" " * 200_000_000)
    with pytest.raises(ArtifactError):
        load_estimator(path, "skops")


def rewritten(path, change):
    """The same file with some of its arrays changed: `change` gives a new array, or None to leave it."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name.endswith(".npy"):
                array = change(np.load(io.BytesIO(content)))
                if array is not None:
                    buffer = io.BytesIO()
                    np.save(buffer, array)
                    content = buffer.getvalue()
            after.writestr(name, content)
    path.write_bytes(out.getvalue())
    return path


def setting(field, value):
    """A change that sets a field of the first node of every tree that has it."""

    def change(array):
        if array.dtype.names and field in array.dtype.names:
            array = array.copy()
            array[field][0] = value
            return array
        return None

    return change


def shuffled_indices(array):
    """A change of search trees: an index past the data."""
    if array.dtype == np.int64 and array.ndim == 1 and len(array) == len(X):
        return array + 1_000_000
    return None


@pytest.mark.parametrize(
    ("estimator", "change"),
    [
        (DecisionTreeClassifier(), setting("left_child", 10**6)),
        (DecisionTreeClassifier(), setting("left_child", 0)),
        (DecisionTreeClassifier(), setting("right_child", -7)),
        (DecisionTreeClassifier(), setting("feature", 4)),
        (DecisionTreeClassifier(), setting("feature", -1)),
        (RandomForestClassifier(3), setting("feature", 10**6)),
        (IsolationForest(n_estimators=3), setting("right_child", 10**6)),
        (GradientBoostingClassifier(n_estimators=3), setting("left_child", 10**6)),
        (HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5), setting("left", 10**6)),
        (HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5), setting("feature_idx", 4)),
        (KNeighborsClassifier(algorithm="kd_tree"), shuffled_indices),
        (KNeighborsClassifier(algorithm="ball_tree"), setting("idx_end", 10**6)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else None,
)
def test_numbers_that_point_outside_their_arrays_are_refused(tmp_path, estimator, change):
    """scikit-learn follows them without looking at bounds, so one crafted file would crash every pod."""
    path = dumped(tmp_path / "model.skops", estimator.fit(X, Y))
    load_estimator(path, "skops")
    with pytest.raises(ArtifactError, match="damaged"):
        load_estimator(rewritten(path, change), "skops")


def test_support_vectors_that_do_not_fit_are_refused(tmp_path):
    """The C code of a support vector machine takes its shapes from several arrays."""
    model = SVC().fit(X, Y)
    model._n_support = model._n_support + 1000
    with pytest.raises(ArtifactError, match="damaged"):
        load_estimator(dumped(tmp_path / "model.skops", model), "skops")


def test_a_function_of_numpys_is_fine_a_function_of_anyones_is_not(tmp_path):
    """FunctionTransformer(np.log1p) is common; a lambda is code."""
    path = tmp_path / "model.skops"
    load_estimator(dumped(path, make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(X, Y)), "skops")
    with pytest.raises(UntrustedModel) as error:
        load_estimator(dumped(path, make_pipeline(FunctionTransformer(dumped), LogisticRegression())), "skops")
    assert any(name.endswith("dumped") for name in error.value.types)


def test_a_type_that_somebody_vouched_for_loads(tmp_path):
    """--trust adds one name and nothing beside it."""
    path = dumped(tmp_path / "model.skops", make_pipeline(FunctionTransformer(np.linalg.norm)))
    with pytest.raises(UntrustedModel) as error:
        load_estimator(path, "skops")
    assert load_estimator(path, "skops", trusted=error.value.types)


def test_every_trusted_name_is_exact_and_exists():
    """A name that moved would be dead weight; one that ends in a dot would be a prefix."""
    for name in sorted(TRUSTED):
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last), name


@pytest.mark.slow
def test_estimators_of_scikit_learn_load(tmp_path):
    """A model must not be refused for being of a rarer kind; those that are, are listed here."""
    refused, loaded, path = set(), 0, tmp_path / "model.skops"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in all_estimators():
            try:
                dumped(path, kind().fit(X, Y))
            except Exception:  # noqa: BLE001, S112 - it takes other data, or skops cannot write it
                continue
            try:
                load_estimator(path, "skops")
                loaded += 1
            except (ArtifactError, UntrustedModel):
                refused.add(name)
    assert refused <= {"BisectingKMeans", "FeatureAgglomeration"}
    assert loaded > 140


def search(kind=GridSearchCV, parameters=None, **options):
    """A search over a linear model, not fitted: what it remembers is there all the same."""
    return kind(LogisticRegression(), parameters or {"C": [1, 2]}, **options)


OWN = {
    "make_column_selector": make_pipeline(
        make_column_transformer((StandardScaler(), make_column_selector(pattern="a", dtype_include=np.number))), Ridge()
    ),
    "selector of several": make_column_selector(dtype_include=["number", object, bool], dtype_exclude=np.integer),
    "_TemperatureScaling": CalibratedClassifierCV(LogisticRegression(), method="temperature").fit(X, Y),
    "ShuffleSplit": search(cv=ShuffleSplit(2)),
    "StratifiedShuffleSplit": search(cv=StratifiedShuffleSplit(2)),
    "LeaveOneOut": search(cv=LeaveOneOut()),
    "PredefinedSplit": search(cv=PredefinedSplit([0, 1])),
    "HalvingGridSearchCV": search(HalvingGridSearchCV),
    "HalvingRandomSearchCV": search(HalvingRandomSearchCV, {"C": scipy.stats.loguniform(1, 10)}),
    "mutual_info_classif": make_pipeline(SelectKBest(mutual_info_classif, k=2), LogisticRegression()).fit(X, Y),
    "IterativeImputer": make_pipeline(IterativeImputer(), LogisticRegression()).fit(X, Y),
    "make_scorer": search(scoring=make_scorer(fbeta_score, beta=2)),
    "loguniform": search(RandomizedSearchCV, {"C": scipy.stats.loguniform(1, 10)}),
    "uniform": search(RandomizedSearchCV, {"C": scipy.stats.uniform(1, 10), "tol": scipy.stats.expon()}),
}


@pytest.mark.parametrize("name", OWN)
def test_what_is_scikit_learns_own_loads(tmp_path, name):
    """It was refused with the advice to use scikit-learn's own types."""
    load_estimator(dumped(tmp_path / "model.skops", OWN[name]), "skops")


def test_a_search_by_any_of_scikit_learns_scores_loads(tmp_path):
    """neg_log_loss and neg_mean_absolute_percentage_error are as common as accuracy."""
    from sklearn.metrics import get_scorer

    scores = [get_scorer(name) for name in get_scorer_names()]
    load_estimator(dumped(tmp_path / "model.skops", scores), "skops")


def hostile_distribution(path, marker):
    """A search whose distribution holds program text, which scipy runs as soon as it is told its state."""
    out = dumped(path, search(RandomizedSearchCV, {"C": scipy.stats.uniform(1, 10)}))
    with zipfile.ZipFile(out) as file:
        members = {name: file.read(name) for name in file.namelist()}
    schema = members["schema.json"].decode()
    own = scipy.stats.uniform._parse_arg_template
    evil = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n{own}"
    for text in (json.dumps(own), json.dumps(json.dumps(own))):
        schema = schema.replace(text, json.dumps(evil) if text == json.dumps(own) else json.dumps(json.dumps(evil)))
    assert "touch" in schema
    with zipfile.ZipFile(out, "w") as file:
        for name, content in {**members, "schema.json": schema.encode()}.items():
            file.writestr(name, content)
    return out


def test_a_distributions_program_text_is_not_run(tmp_path, monkeypatch):
    """Scipy's distributions run text out of their state; a search needs none of it to predict."""
    marker = tmp_path / "evil-was-here"
    path = hostile_distribution(tmp_path / "model.skops", marker)
    skops.io.load(path, trusted=sorted(TRUSTED))
    assert marker.exists()  # that is what loading it as skops does would run
    marker.unlink()
    found = load_estimator(path, "skops")
    assert not marker.exists()
    assert 1 <= found.param_distributions["C"].rvs() <= 11
    own = scipy.stats._distn_infrastructure.rv_generic
    monkeypatch.setattr(own, "__setstate__", own.__setstate__)  # the script sets it for good, in a process of its own
    load = {"file": path.name, "format": "skops", "code": None, "trusted": sorted(TRUSTED)}
    expected.load(tmp_path, load)
    assert not marker.exists()
