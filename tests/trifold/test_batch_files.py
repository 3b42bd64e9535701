"""Batch runs from and into files, on the disk and in S3: what readers see, and what is refused."""

import gzip
import io
import json
import os
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.batch import JOB, SCHEMA, SLOT, Batch, instant, version
from tests.s3 import Place
from tests.trifold.test_batch_postgres import rows_of
from trifold.answers import Answers, same_bits
from trifold.batch import __main__ as commands
from trifold.batch import score
from trifold.batch.job import Job
from trifold.batch.parts import Layout
from trifold.batch.published import read_predictions
from trifold.batch.statistics import merged, merged_top
from trifold.batch.store import Run
from trifold.batch.stores import list_runs
from trifold.errors import JobError
from trifold.model import Model
from trifold.packed import Packed
from trifold.settings import Settings
from trifold.versions import Version

NEXT = "2026-11-30T05:00Z"
WINDOW = (instant(SLOT), instant(NEXT))
RUN = "weekly/20261123T0500Z/0001"


@dataclass
class FileBatch(Batch):
    """A release's batch part whose job reads files and writes files."""

    place: Place = field(default_factory=lambda: Place(""))

    def environment(self, shard=0, **more):
        """What the chart would set."""
        return {**super().environment(shard), **self.place.environment, **more}

    def fill(self, table, name="customers.parquet"):
        """Write these rows as a file; gives its address."""
        out = io.BytesIO()
        if ".csv" in name:
            pyarrow.csv.write_csv(table, out)
        else:
            pq.write_table(table, out)
        content = out.getvalue()
        return self.place.put(f"in/{name}", gzip.compress(content) if name.endswith(".gz") else content)

    def read(self, slot=SLOT):
        """What readers see of a slot; None: nothing."""
        try:
            return read_predictions(f"{self.place.address}/out", "weekly", slot, self.environment())
        except JobError:
            return None

    def table(self, slot=SLOT):
        """The same, all columns but scored_at, by key, as text that shows every bit."""
        found = self.read(slot)
        return (
            [] if found is None else [repr(row) for row in found.drop_columns("scored_at").sort_by("key").to_pylist()]
        )

    def runs(self):
        """Slot, state, rows and rejects of the runs, the newest first."""
        found = list_runs([Job.from_json(self.job)], self.environment(), 100)
        return [(instant(run["slot"]), run["state"], run["rows"], run["rejects"]) for run in found]

    def rejects(self, name="manifest.json"):
        """The rejects that a run's manifest, or failed.json, names."""
        parts = json.loads(self.place.read(f"out/{RUN}/{name}"))["rejected"]
        tables = [pq.read_table(io.BytesIO(self.place.read(f"out/weekly/{part['file']}"))) for part in parts]
        return pa.concat_tables(tables).sort_by("key").to_pylist() if tables else []


def scorer_of(batch, shard=0, **job):
    """What a pod has made when it begins."""
    environment = batch.environment(shard)
    document = Job.from_json({**batch.job, **job})
    return score.scorer_of(document, shard, Settings.from_environment(environment), batch.folder, environment)


def batch_of(folder, place, pattern="*.parquet", **changes):
    """A job that reads files of a place and writes into it."""
    source, sink = {"query": "", "files": f"{place.address}/in/{pattern}"}, {"files": f"{place.address}/out/"}
    return FileBatch(folder, "", {**JOB, "source": source, "sink": sink, **changes}, place)


@pytest.fixture
def files(built_customers, place):
    """A job of the customers' model, on the disk and in S3."""
    return batch_of(built_customers.model, place)


@pytest.fixture
def on_disk(built_customers, disk):
    """The same, on the disk alone."""
    return batch_of(built_customers.model, disk)


def test_predictions_are_the_models_own_bit_for_bit(files, customers):
    """What stands in the files is what the model says of the same rows."""
    table = rows_of(customers)
    files.fill(table)
    assert files.run() == 0
    model = Model.load(files.folder)
    wanted = model.predict(model.contract.check(table.drop_columns("id")).rows)
    found = files.read()
    found = found.take(pc.index_in(table.column("id"), found.column("key")))
    probabilities = np.column_stack([found.column(f"probability_{name}").to_numpy() for name in ("No", "Yes")])
    predictions = np.array(found.column("prediction").to_pylist(), dtype=wanted.predictions.dtype)
    assert same_bits(Answers(predictions, (probabilities,)), wanted)


def test_the_files_say_which_version_made_each_row(files, customers):
    """Every prediction carries model, version, digest, job, slot and one instant; what is kept is JSON."""
    files.job["keep"] = ["plan", "tenure"]
    table = rows_of(customers, 3)
    files.fill(table)
    assert files.run() == 0
    found = files.read().sort_by("key")
    assert found.column_names == [
        *("key", "prediction", "probability_No", "probability_Yes", "kept"),
        *("model", "version", "digest", "job", "slot", "scored_at"),
    ]
    row = found.to_pylist()[0]
    assert (row["model"], row["job"], row["slot"]) == ("customers", "weekly", instant(SLOT))
    assert row["version"] == Packed.read(files.folder).version
    assert json.loads(row["kept"]) == {name: table.column(name)[0].as_py() for name in ("plan", "tenure")}
    assert len(set(found.column("scored_at").to_pylist())) == 1
    assert found.schema.field("model").type == pa.string()


def test_the_manifest_is_all_that_a_reader_needs(files, customers):
    """It names the run, its window and its files with their rows and bytes."""
    files.fill(rows_of(customers))
    assert files.run() == 0
    manifest = json.loads(files.place.read(f"out/{RUN}/manifest.json"))
    assert (manifest["state"], manifest["run"], manifest["rows"], manifest["rejects"]) == ("committed", RUN[7:], 400, 0)
    assert manifest["window"] == ["2026-11-16T05:00:00+00:00", "2026-11-23T05:00:00+00:00"]
    [part] = manifest["predictions"]
    assert part["rows"] == 400
    assert part["bytes"] == len(files.place.read(f"out/weekly/{part['file']}"))


def test_csv_gives_the_same_as_parquet(files, customers):
    """Numbers by the contract, leading zeros of the key kept, empty is missing; plain or gzip, in several files."""
    table = rows_of(customers, id=[f"{number:05d}" for number in range(400)])
    files.fill(table)
    assert files.run() == 0
    wanted = files.table()
    for number, name in enumerate(["1.csv", "2.csv.gz"]):
        files.job["source"]["files"] = f"{files.place.address}/in/{number}-*{name[1:]}"
        files.fill(table.slice(0, 150), f"{number}-a{name}")
        files.fill(table.slice(150), f"{number}-b{name}")
        assert files.run("--replace") == 0
        assert files.table() == wanted
    assert wanted[7].startswith("{'key': '00007'")


@pytest.fixture
def with_texts(customers):
    """Rows with texts where numbers belong, as CSV may have them a million rows later; two rows are bad."""
    table = rows_of(customers)
    texts = {"tenure": table.column("tenure").cast(pa.string()).to_pylist()}
    texts["charges"] = table.column("charges").cast(pa.string()).to_pylist()
    texts["tenure"][7], texts["tenure"][9], texts["charges"][9] = "seven", "-", " 12,50"
    texts["tenure"][11], texts["charges"][11] = " 12.0 ", "+12.5"
    for name, values in texts.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


WITH_TEXTS = [
    ("c7", "tenure", "a whole number", '"seven"'),
    ("c9", "tenure", "a whole number", '"-"'),
    ("c9", "charges", "a number", '" 12,50"'),
]


def test_a_value_that_is_no_number_sinks_no_neighbour(files, with_texts):
    """That row is refused, with what came."""
    files.job["source"]["files"] = f"{files.place.address}/in/*.csv"
    files.fill(with_texts, "customers.csv")
    assert files.run() == 0
    assert len(files.table()) == 398
    assert [(each["key"], each["column"], each["expected"], each["got"]) for each in files.rejects()] == WITH_TEXTS
    assert [each["row"] for each in files.rejects()] == [7, 9, 9]


def test_csv_is_read_by_the_grammar_of_lists(on_disk):
    """Another encoding by its name, semicolons, titles' case, rows of other lengths, two files written apart."""
    on_disk.job["source"] |= {"files": f"{on_disk.place.address}/in/*.csv", "encoding": "windows-1252"}
    on_disk.job |= {"maxRejectRate": 1, "keep": ["Straße"]}
    one = "ID;Tenure;CHARGES;total;active; plan ;region;Straße\nü1;5;70,5;300,0;yes;plus;north;Allee\n\nü2;5;70.5\n"
    other = "region,plan,active,total,charges,tenure,id,Straße\nnorth,plus,1,3e2,70.5,+5,c3,\n,,,,,,c4,,,x\n,,,\n"
    on_disk.place.put("in/a.csv", one.encode("cp1252"))
    on_disk.place.put("in/b.csv", b"\xef\xbb\xbf" + other.encode())
    assert on_disk.run() == 0
    found = on_disk.read().sort_by("key").to_pylist()
    assert [(row["key"], json.loads(row["kept"])) for row in found] == [
        ("c3", {"Straße": None}),
        ("ü1", {"Straße": "Allee"}),
    ]
    assert found[0]["probability_Yes"] == found[1]["probability_Yes"]
    comma = "a number with a decimal comma, as semicolons stand between the cells"
    assert [(each["row"], each["key"], each["column"], each["expected"]) for each in on_disk.rejects()] == [
        (3, "c4", None, "at most 8 cells, one for each name in the first line"),
        (1, "ü2", "charges", comma),
        (1, "ü2", "active", "true or false"),
        (1, "ü2", "plan", "a string"),
        (1, "ü2", "region", "a string"),
    ]


def test_a_value_that_is_no_number_sinks_no_neighbour_in_the_database(batch, disk, with_texts):
    """The same, read into PostgreSQL."""
    batch.job["source"] = batch_of(batch.folder, disk, "*.csv").job["source"]
    batch_of(batch.folder, disk).fill(with_texts, "customers.csv")
    assert batch.run() == 0
    assert len(batch.table()) == 398
    found = batch.ask(f'SELECT key, "column", expected, got FROM {SCHEMA}.rejects ORDER BY key, "column" DESC')
    assert found == WITH_TEXTS


def test_parquet_is_read_as_other_programs_write_it(files, customers):
    """Dictionaries, large strings, small numbers and columns of nothing but nulls are what they stand for."""
    table = rows_of(customers, total=[None] * 400)
    files.fill(table)
    assert files.run() == 0
    wanted = files.table()
    written = {
        "id": table.column("id").cast(pa.large_string()),
        "plan": table.column("plan").dictionary_encode(),
        "region": table.column("region").cast(pa.string_view()),
        "tenure": table.column("tenure").cast(pa.int16()),
        "total": pa.nulls(400),
    }
    for name, column in written.items():
        table = table.set_column(table.column_names.index(name), name, column)
    files.fill(table.append_column("a.b", table.column("id")))
    files.job["keep"] = ["a.b"]
    assert files.run("--replace") == 0
    kept = files.read().column("kept").to_pylist()
    assert [json.loads(text) for text in kept] == [{"a.b": f"c{number}"} for number in range(400)]
    without = files.read().drop_columns(["kept", "scored_at"]).sort_by("key").to_pylist()
    assert [repr(row) for row in without] == wanted


def test_a_pattern_names_the_days_of_the_window(files, customers):
    """{slot_start} and {slot_end} are days in the job's zone; ** is any folder, and hidden files are none."""
    files.job["schedule"] = "30 0 * * *"  # half an hour after midnight in Berlin is the day before in UTC
    files.job["source"]["files"] = f"{files.place.address}/in/**/day={{slot_start}}/*.parquet"
    files.fill(rows_of(customers, 3), "a/day=2026-11-22/x.parquet")
    files.fill(rows_of(customers, 2, id=["y1", "y2"]), "day=2026-11-22/y.parquet")
    files.fill(rows_of(customers, 4), "day=2026-11-22/_temporary/y.parquet")
    files.fill(rows_of(customers, 4), "day=2026-11-22/.y.parquet")
    files.fill(rows_of(customers, 4), "day=2026-11-23/x.parquet")
    assert files.run(slot="2026-11-22T23:30Z") == 0
    assert files.read("2026-11-22T23:30Z").column("key").to_pylist() == ["c0", "c1", "c2", "y1", "y2"]


def test_an_empty_file_is_a_committed_run_of_no_rows(files, customers):
    """Nothing to score is no failure, and what is published has its columns."""
    files.fill(rows_of(customers, 0))
    assert files.run() == 0
    assert files.runs() == [(instant(SLOT), "committed", 0, 0)]
    found = files.read()
    assert found.num_rows == 0
    assert found.schema.field("prediction").type == pa.string()
    files.job["source"]["files"] = f"{files.place.address}/in/*.csv"
    files.place.put("in/x.csv", b"id,tenure,charges,active,plan,region\n")
    assert files.run("--replace") == 0
    assert files.runs()[0] == (instant(SLOT), "committed", 0, 0)


def test_files_that_are_not_there_yet_are_waited_for(files, customers, capsys):
    """No file is no empty run: whoever writes it may be late; the pod is started again."""
    assert files.run() == 75
    assert "/in/*.parquet; it may still come.\n" in capsys.readouterr().err
    assert files.runs() == []
    files.fill(rows_of(customers, 3))
    assert files.run() == 0
    assert len(files.table()) == 3


def test_shards_give_the_same_table_as_one(files, customers):
    """No row lacks, none comes twice, and only the last shard makes the run visible."""
    files.job["source"]["files"] = f"{files.place.address}/in/*.csv"
    files.fill(rows_of(customers), "customers.csv")
    assert files.run() == 0
    whole = files.table()
    files.job["shards"] = 3
    for shard in (0, 2):
        assert files.run(slot=NEXT, shard=shard) == 0
        assert files.read(NEXT) is None
    assert files.runs()[0] == (instant(NEXT), "open", 400, None)
    assert files.run(slot=NEXT, shard=1) == 0
    assert [row.replace("11, 30", "11, 23") for row in files.table(NEXT)] == whole
    manifest = json.loads(files.place.read("out/weekly/20261130T0500Z/0001/manifest.json"))
    assert all(part["rows"] > 50 for part in manifest["predictions"])


def test_a_second_start_changes_nothing(files, customers):
    """Kubernetes may start a slot twice; the second finds it done, whatever the input has become."""
    files.fill(rows_of(customers))
    assert files.run() == 0
    before = {name: files.place.read(f"out/{name}") for name in files.place.files("out")}
    files.fill(rows_of(customers, 10))
    assert files.run() == 0
    assert {name: files.place.read(f"out/{name}") for name in files.place.files("out")} == before


def test_the_input_is_frozen_once(files, customers):
    """Shards that start later see the rows of the first, though the files have changed meanwhile."""
    files.job["shards"] = 2
    files.fill(rows_of(customers))
    assert files.run(shard=0) == 0
    files.fill(rows_of(customers, 10))
    assert files.run(shard=1) == 0
    assert len(files.table()) == 400


def test_rejects_say_why(files, customers):
    """One bad row stands in the rejects with the words of the online 422, and all others are scored."""
    tenure = [None if number == 7 else number for number in range(400)]
    regions = ["west" if number == 9 else "north" for number in range(400)]
    files.fill(rows_of(customers, tenure=tenure, region=regions))
    assert files.run() == 0
    assert len(files.table()) == 398
    first, second = files.rejects()
    assert (first["key"], first["column"], first["rule"]) == ("c7", "tenure", "missing")
    assert first["version"] == Packed.read(files.folder).version
    assert (second["key"], second["rule"]) == ("c9", "refused_by_model")
    assert files.runs() == [(instant(SLOT), "committed", 400, 2)]


@pytest.mark.parametrize("shards", [1, 2])
def test_too_many_rejects_publish_nothing(files, customers, capsys, shards):
    """Above maxRejectRate there is no manifest, but failed.json with the reason and rejects; a mended input is new."""
    files.job["shards"] = shards
    files.fill(rows_of(customers, tenure=[None if number % 50 == 0 else 5 for number in range(400)]))
    codes = [files.run(shard=shard, TRIFOLD_JOB_UID="first") for shard in range(shards)]
    assert codes[-1] == 65
    assert "maxRejectRate is 1.0%" in capsys.readouterr().err or shards == 2
    assert files.read() is None
    assert files.runs()[0][1] == "failed"
    assert files.rejects("failed.json")
    assert "maxRejectRate is 1.0%" in json.loads(files.place.read(f"out/{RUN}/failed.json"))["reason"]
    assert not [name for name in files.place.files("out") if name.endswith("manifest.json")]
    assert files.run(TRIFOLD_JOB_UID="first") == 65  # a pod of the same Job
    files.fill(rows_of(customers, tenure=[5] * 400))
    assert [files.run(shard=shard, TRIFOLD_JOB_UID="second") for shard in range(shards)] == [0] * shards
    assert len(files.table()) == 400


NOT_PARQUET = b"PAR1 nonsense, but long enough to look at"
HEADER = b"id,tenure,charges,total,active,plan,region\n"
ROW = b"c1,1,1.5,2,true,basic,north\n"


def lacking(table):
    """A table without one of the model's columns."""
    return table.drop_columns("tenure")


def keyless(table):
    """A table two of whose keys are missing."""
    return table.set_column(0, "id", pa.array([None, None, *(f"c{number}" for number in range(2, len(table)))]))


def repeated(table):
    """A table with a key twice."""
    return table.set_column(0, "id", pa.array(["c2", *(f"c{number}" for number in range(1, len(table)))]))


REFUSED = {
    "a column lacks": ("*.parquet", {"a.parquet": lacking}, 65, "lacks column 'tenure'"),
    "a key lacks": ("*.parquet", {"a.parquet": keyless}, 65, "2 rows or more have no id"),
    "a key twice": ("*.parquet", {"a.parquet": repeated}, 65, "stands more than once"),
    "a key twice in two files": ("*.csv", {"a.csv": HEADER + ROW, "b.csv": HEADER + ROW}, 65, "stands more than once"),
    "another column in another file": (
        "*.parquet",
        {"a.parquet": lambda table: table, "b.parquet": lacking},
        65,
        "Column tenure is nothing in",
    ),
    "no Parquet": ("*.parquet", {"a.parquet": NOT_PARQUET}, 65, "a.parquet cannot be read: Parquet magic bytes"),
    "no gzip": ("*.csv.gz", {"a.csv.gz": HEADER + ROW}, 65, "a.csv.gz cannot be read: zlib inflate failed"),
    "cut short": ("*.csv.gz", {"a.csv.gz": gzip.compress(HEADER + ROW * 9)[:-12]}, 65, "cannot be read: Truncated"),
    "no UTF-8": ("*.csv", {"a.csv": HEADER + ROW.replace(b"basic", b"\xff")}, 65, "set the job's source.encoding"),
    "an open quotation mark": ("*.csv", {"a.csv": HEADER + b'"c1' + ROW}, 65, "got text that is none: unexpected end"),
    "an empty file": ("*.csv", {"a.csv": b""}, 65, "a.csv: Expected a table in CSV with a line of column names"),
    "a column twice": (
        "*.csv",
        {"a.csv": b"plan," + HEADER + b"basic," + ROW},
        65,
        'one column that means "plan", got 2',
    ),
    "no column names": ("*.csv", {"a.csv": ROW + ROW}, 65, 'lumns "tenure", "charges", "active"'),
    "a folder": ("", {"a.parquet/x.parquet": NOT_PARQUET}, 78, "end in none of .parquet, .csv, .csv.gz"),
    "a folder that looks like a file": ("a.parquet", {"a.parquet/x": b"1"}, 78, "is a folder; say which of its files"),
    "a place that is none": ("{day}.csv", {}, 78, "name {day}; there are {slot_start} and {slot_end}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_one_sentence_and_leaves_nothing(files, customers, capsys, case):
    """A defined exit code, no key in the log, nothing visible."""
    pattern, contents, code, words = REFUSED[case]
    files.job["source"]["files"] = f"{files.place.address}/in/{pattern}"
    for name, content in contents.items():
        if isinstance(content, bytes):
            files.place.put(f"in/{name}", content)
        else:
            files.fill(content(rows_of(customers)), name)
    assert files.run() == code
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "c1" not in said.out + said.err
    assert files.read() is None
    assert not [name for name in files.place.files("out") if "/parts/" in name or name.endswith("manifest.json")]


UNREACHABLE = {
    "no such bucket to read": ("source", "s3://no-such-bucket/x/*.parquet", {}, 78, "NO_SUCH_BUCKET"),
    "no such bucket to write": ("sink", "s3://no-such-bucket/x", {}, 78, "NO_SUCH_BUCKET"),
    "a server that is away": ("source", "s3://bucket/*.csv", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, 75, "NETWORK"),
    "no scheme": ("source", "/data/*.csv", {}, 78, "write file:///folder/… or s3://bucket/folder/…"),
    "another scheme": ("sink", "gs://bucket/x", {}, 78, "is no address of files"),
    "a sink that is a file": ("sink", "file:///etc/passwd", {}, 78, "Not a directory"),
}


@pytest.mark.parametrize("case", UNREACHABLE)
def test_storage_that_cannot_be_reached_is_one_sentence(s3, built_customers, customers, capsys, case):
    """What is set up wrongly is 78, what is away is tried again later, by the exit code 75."""
    part, address, told, code, words = UNREACHABLE[case]
    files = batch_of(built_customers.model, s3.bucket())
    files.fill(rows_of(customers, 3))
    files.job[part] = {**files.job[part], "files": address}
    assert files.run(**told) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_nobody_may_write_to_is_set_up_wrongly(on_disk, customers, capsys, tmp_path):
    """Another try would not help."""
    on_disk.fill(rows_of(customers, 3))
    (tmp_path / "folder" / "out").mkdir(mode=0o500)
    assert on_disk.run() == 78
    assert "Permission denied" in capsys.readouterr().err


def test_another_version_replaces_only_when_asked(files, customers, built_customers, built_other_customers, capsys):
    """A committed slot is history: another version is refused, and with --replace takes its place at once."""
    files.fill(rows_of(customers))
    assert files.run() == 0
    files.folder = built_other_customers.model
    assert files.run() == 73
    one, other = version(built_customers), version(built_other_customers)
    assert f"was committed by version {one}, this is version {other}; with --replace" in capsys.readouterr().err
    files.job["shards"] = 2
    asked = {"TRIFOLD_JOB_UID": "6f1c"}
    assert files.run("--replace", shard=0, **asked) == 0
    assert set(files.read().column("version").to_pylist()) == {one}
    assert files.run("--replace", shard=1, **asked) == 0
    assert set(files.read().column("version").to_pylist()) == {other}
    assert files.run("--replace", shard=1, **asked) == 0  # a pod that is started again
    assert [state for _, state, *_ in files.runs()] == ["committed", "replaced"]


def test_an_open_run_of_another_version_is_begun_anew(files, customers, built_other_customers):
    """A release that is upgraded between two shards never mixes versions in a slot."""
    files.job["shards"] = 2
    files.fill(rows_of(customers))
    assert files.run(shard=0) == 0
    files.folder = built_other_customers.model
    processes = [files.start(shard=shard) for shard in range(2)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert set(files.read().column("version").to_pylist()) == {version(built_other_customers)}
    assert [state for _, state, *_ in files.runs()] == ["committed", "abandoned"]


def test_missed_slots_are_caught_up(files, customers):
    """A run first does what earlier slots lack, back to catchUp, but nothing from before the job was known."""
    files.job["catchUp"] = 3
    files.fill(rows_of(customers, 5))
    files.place.put("out/weekly/since.json", b'{"since": "2026-11-03T00:00:00+00:00"}')
    assert files.run(slot="2026-11-16T05:00Z") == 0
    assert files.run(slot="2026-12-07T05:00Z") == 0
    slots = [slot for slot, state, *_ in files.runs() if state == "committed"]
    assert slots == [instant(f"2026-{day}T05:00Z") for day in ("12-07", "11-30", "11-23", "11-16", "11-09")]


def test_a_job_that_was_never_known_has_missed_nothing(files, customers):
    """A new job does not score the weeks before it was made."""
    files.job["catchUp"] = 3
    files.fill(rows_of(customers, 5))
    assert files.run(slot="2026-11-16T05:00Z") == 0
    assert len(files.runs()) == 1


def test_retention_drops_what_is_old_and_keeps_the_newest_slot(on_disk, customers, tmp_path):
    """Personal data has an end; the newest predictions stay, however old they are."""
    on_disk.job["retentionDays"] = {**on_disk.job["retentionDays"], "predictions": 400}
    on_disk.fill(rows_of(customers, tenure=[None, None, None, *range(397)]))
    for slot in ("2025-01-06T05:00Z", "2025-01-13T05:00Z", SLOT):
        assert on_disk.run(slot=slot) == 0
    (tmp_path / "folder/out/weekly/.scratch/of-a-killed-process").write_bytes(b"1")
    for path in (tmp_path / "folder/out").rglob("*"):
        age = 100 if "20261123" in str(path) else 500
        moment = path.stat().st_mtime - age * 86400
        os.utime(path, (moment, moment))
    assert on_disk.run() == 0
    assert [slot for slot, *_ in on_disk.runs()] == [instant(SLOT)]
    left = on_disk.place.files("out/weekly")
    assert not [name for name in left if name.startswith(("inputs/", "rejects/", ".scratch/"))]
    assert {name[:14] for name in left} == {"20261123T0500Z", "since.json"}
    assert len(on_disk.table()) == 397


def test_a_query_can_be_read_into_files(files, postgres, customers):
    """The source is a database, the sink is none; key and kept columns are as PostgreSQL writes them."""
    files.uri, files.job["keep"] = postgres, ["plan"]
    files.job["source"] = {"query": "SELECT * FROM customers WHERE tenure >= 0", "files": ""}
    Batch.fill(files, rows_of(customers))
    assert files.run() == 0
    assert len(files.table()) == 400
    assert json.loads(files.read().column("kept")[0].as_py()).keys() == {"plan"}
    files.job["source"]["query"] += " AND false"
    assert files.run("--replace") == 0
    assert files.read().num_rows == 0
    files.job["source"]["query"] = "SELECT id FROM customers"
    assert files.run("--replace") == 65
    assert files.read().num_rows == 0


def test_a_report_is_told_the_same_by_both_stores(batch, place, customers):
    """Counts, rejects, first predictions and history do not depend on where they are kept."""
    table = rows_of(customers, tenure=[None if number in (3, 4) else number for number in range(400)])
    batch.fill(table)
    history = pa.table({"month": ["2026-01", "2026-02", None], "sales": [1, 2.5, 3]})
    batch.fill(history, "sales")
    files = batch_of(batch.folder, place, shards=2)
    files.fill(table)
    files.job["report"] = {"top": 3, "history": files.fill(history, "sales.csv")}
    batch.job |= {"shards": 2, "report": {"top": 3, "history": "SELECT * FROM sales WHERE month IS NOT NULL"}}
    told = []
    for one in (batch, files):
        assert [one.run(shard=shard) for shard in (0, 1)] == [0, 0]
        store = scorer_of(one).store
        run = store.begin(instant(SLOT))
        counts = store.counts(run)
        tops = merged_top([count.top for count in counts], 3)
        summed = merged([count.statistics for count in counts])
        told.append((run.rows, summed, tops, store.rejects(run), store.predictions(run, 7), store.history(WINDOW)))
    in_database, in_files = told
    assert in_database[:-1] == in_files[:-1]
    assert in_database[3] == [("missing", "tenure", 2, "a whole number")]
    assert in_files[-1] == [("2026-01", 1.0), ("2026-02", 2.5)] == in_database[-1]
    store.keep_report(run, "a1b2")
    assert store.begin(instant(SLOT)).report == "a1b2"


VERSION = Version("m", "1", "d" * 64, (), None, "float8")
LAYOUTS = {
    "a number with an interval": (replace(VERSION, half_width=0.5), [1.25], None, {"lower": [0.75], "upper": [1.75]}),
    "several numbers": (replace(VERSION, type="float8[]"), [[1.5, 2.5]], None, {"prediction": [[1.5, 2.5]]}),
    "a whole number": (replace(VERSION, type="bigint"), [3], None, {"prediction": [3]}),
    "two classes": (
        replace(VERSION, type="text", classes=("a", "b")),
        ["a"],
        [[0.75, 0.25]],
        {"probability_b": [0.25]},
    ),
    "very many classes": (
        replace(VERSION, type="bigint", classes=tuple(map(str, range(101)))),
        [7],
        [[1 / 101] * 101],
        {"probabilities": [[1 / 101] * 101]},
    ),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_columns_follow_the_model(case):
    """Each kind of answer has its columns; without a row it has the same."""
    version, predictions, probabilities, wanted = LAYOUTS[case]
    layout = Layout(version, Run("x", "job", instant(SLOT), "open", 1, 1), kept=False)
    columns = {"key": ["k"], "prediction": predictions, **({"probabilities": probabilities} if probabilities else {})}
    found = layout.predicted(pa.RecordBatch.from_pydict(columns))
    assert {name: found.column(name).to_pylist() for name in wanted} == wanted
    empty = layout.predicted(pa.RecordBatch.from_pydict({"key": pa.nulls(0), "prediction": pa.nulls(0, pa.float64())}))
    assert empty.schema == found.schema == layout.predictions


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_can_be_read_into_the_database(batch, place, customers, kind):
    """The sink is PostgreSQL; both sinks give the same predictions."""
    files = batch_of(batch.folder, place, f"*.{kind}", keep=["plan"])
    table = rows_of(customers, id=[f"{number:05d}" for number in range(400)])
    files.fill(table.slice(0, 100), f"a.{kind}")
    files.fill(table.slice(100), f"b.{kind}")
    assert files.run() == 0
    batch.job |= {"source": files.job["source"], "keep": ["plan"]}
    assert batch.run(**place.environment) == 0
    found = batch.ask(f'SELECT key, prediction, "probability_Yes", kept::text FROM {SCHEMA}.predictions ORDER BY key')
    columns = files.read().sort_by("key").select(["key", "prediction", "probability_Yes", "kept"])
    wanted = [tuple(row.values()) for row in columns.to_pylist()]
    assert [row[:3] for row in found] == [row[:3] for row in wanted]
    assert [json.loads(row[3]) for row in found] == [json.loads(row[3]) for row in wanted]


def test_runs_of_all_jobs_are_listed_together(batch, disk, customers):
    """Whichever store they are in: the newest slot first, with what `trifold runs` shows."""
    files = batch_of(batch.folder, disk, name="other")
    files.fill(rows_of(customers, 3, tenure=[1, 2, None]))
    assert files.run() == 65
    batch.fill(rows_of(customers, 5))
    assert batch.run(slot=NEXT) == 0
    jobs = [Job.from_json(batch.job), Job.from_json(files.job)]
    newest, failed = list_runs(jobs, batch.environment(), 10)
    assert newest["seconds"] > 0
    assert {**newest, "seconds": 0} == {
        "job": "weekly",
        "slot": NEXT,
        "state": "committed",
        "rows": 5,
        "rejects": 0,
        "seconds": 0,
        "version": "1",
        "shards": 1,
        "shards_done": 1,
        "reason": None,
        "report": None,
    }
    assert {**failed, "seconds": 0, "reason": ""} == {
        "job": "other",
        "slot": SLOT,
        "state": "failed",
        "rows": 3,
        "rejects": None,
        "seconds": 0,
        "version": "1",
        "shards": 1,
        "shards_done": 0,
        "reason": "",
        "report": None,
    }
    assert failed["reason"].startswith("1 of 3 rows are refused")
    assert len(list_runs(jobs, batch.environment(), 1)) == 1


def test_helm_test_scores_the_example_into_files(files, capsys):
    """A folder of its own, and no more than its last run is left."""
    for _ in range(2):
        assert commands.main(["verify"], files.environment()) == 0
    assert f"(5 rows) into {files.place.address}/out as at build" in capsys.readouterr().out
    left = files.place.files("out")
    assert {name.split("/")[1] for name in left} == {"helm-test"}
    assert len([name for name in left if name.endswith("manifest.json")]) <= 2
