"""The build: what is in a Bento, when it is another one, and what is left of a build that was cut short."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from trifold.errors import BuildError
from trifold.ops import home as homes
from trifold.ops import packaging, registry
from trifold.ops.check import check
from trifold.ops.packaging import build, build_hash
from trifold.packed import Packed


@pytest.fixture(scope="module")
def report(log, customers, customer_model):
    """A checked version of the customers' model."""
    return check(registry.pin(log("customers", customer_model, customers[0])))


def files(folder):
    """All files below a folder: relative path to content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestContent:
    """What a Bento holds."""

    def test_labels_say_what_is_pinned(self, built_customers):
        """Whoever has the image can say which model of which registry it is, and what was vouched for."""
        bento = yaml.safe_load((built_customers.bento / "bento.yaml").read_text())
        packed = Packed.read(built_customers.model)
        assert bento["labels"] == {
            "model": "customers",
            "model_version": packed.version,
            "run_id": packed.run_id,
            "digest": packed.digest,
            "parity": packed.parity,
            "pickle": "false",
            "trusted": "",
        }
        assert [model["tag"] for model in bento["models"]] == [built_customers.tag]

    def test_source_is_what_an_image_runs_and_nothing_else(self, built_customers):
        """The registry's client, the training side, tests, caches and stores have no place in an image."""
        source = files(built_customers.bento / "src")
        tops = {path.split("/")[0] for path in source}
        assert tops == {"service.py", "cronjobs", "k8s", "trifold", "bentofile.yaml", "requirements.lock"}
        assert [path for path in source if path.startswith("k8s/")] == ["k8s/images/model/strip.py"]
        assert {"trifold/online/server.py", "trifold/model.py", "trifold/__init__.py"} <= source.keys()
        assert not [
            path for path in source if re.search(r"(^|/)(ops|tests|\.[^/]*|__pycache__)/|training\.py|\.pyc", path)
        ]

    def test_nothing_in_it_names_this_machine(self, built_customers):
        """A path of the builder's machine tells strangers about it and makes two builds differ."""
        names = {str(homes.ROOT), str(homes.home()), str(Path.home()), "/tmp/"}  # noqa: S108
        for folder in (built_customers.bento, built_customers.model):
            for path, content in files(folder).items():
                if path != "artifact/MLmodel":  # MLflow's own, and part of the digest
                    assert not [name for name in names if name.encode() in content], path

    def test_requirements_are_locked_with_hashes(self, built_customers):
        """An image built tomorrow has the packages that were checked today."""
        text = (built_customers.bento / "env/python/requirements.txt").read_text()
        assert re.search(r"^scikit-learn==\S+ .*\n +--hash=sha256:", text, re.MULTILINE)
        assert not re.search(r"^mlflow", text, re.MULTILINE)

    def test_model_lies_whole_beside_its_answers(self, built_customers):
        """The store's model is the artifact, byte for byte, with what the build found out about it."""
        packed = Packed.read(built_customers.model)
        artifact = files(built_customers.model / "artifact")
        assert artifact == files(homes.home() / "models" / packed.digest)
        assert json.loads((built_customers.model / "expected.json").read_text())["predictions"]

    @pytest.mark.parametrize(
        ("name", "shown"),
        [("churn", "churn"), ("Churn Model", r"churn-model-[0-9a-f]{6}"), ("日本", r"model-[0-9a-f]{6}"),
         ("x" * 200, r"x{50}-[0-9a-f]{6}"), ("a_b", r"a-b-[0-9a-f]{6}"), ("-a-", r"a-[0-9a-f]{6}")],
    )  # fmt: skip
    def test_any_models_name_becomes_a_bentos(self, name, shown):
        """BentoML takes lower case, digits and dashes; two models that differ in the rest must not share a name."""
        assert re.fullmatch(shown, packaging._name(name))


class TestTag:
    """A tag never changes its content; other content has another tag."""

    def test_second_build_finds_the_first(self, report, own_home):
        """Building what is there already builds nothing and changes no byte."""
        first = build(report)
        before = files(own_home / "bentoml")
        second = build(report)
        assert (first.new, second.new, first.tag) == (True, False, second.tag)
        assert files(own_home / "bentoml") == before

    def test_tag_has_version_digest_and_build(self, report):
        """The tag can be read."""
        packed = report.packed
        hashed = build_hash(packed, report.lock)
        assert build(report).tag == f"customers:v{packed.version}-{packed.digest[:8]}-{hashed[:8]}"

    def test_another_model_is_another_build(self, report, log, customers, customer_model):
        """A new version of the same estimator is another Bento."""
        other = check(registry.pin(log("customers", customer_model, customers[0])))
        assert build(other).tag != build(report).tag

    @pytest.mark.parametrize("part", ["digest", "parity", "form", "allow_pickle", "trusted", "blocks"])
    def test_another_fact_about_the_model_is_another_build(self, report, part):
        """Whatever goes into an image decides its tag."""
        changed = Packed(**{**vars(report.packed), part: ("other",)})
        assert build_hash(changed, report.lock) != build_hash(report.packed, report.lock)

    def test_other_requirements_are_another_build(self, report):
        """A package more is another image."""
        assert build_hash(report.packed, report.lock + "\nmore==1\n") != build_hash(report.packed, report.lock)

    def test_code_that_enters_decides_and_other_code_does_not(self, report, tmp_path, monkeypatch):
        """A change of the server is another image; a change of the command line is the same one."""
        for path in packaging._code():
            (tmp_path / "ops" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "ops" / path).write_bytes((homes.ROOT / path).read_bytes())
        # A folder above that is called ops, or trifold, must not matter.
        monkeypatch.setattr(packaging, "ROOT", tmp_path / "ops")
        same = build_hash(report.packed, report.lock)
        (tmp_path / "ops/trifold/ops").mkdir()
        for path in ("trifold/ops/cli.py", "trifold/training.py", "README.md"):
            (tmp_path / "ops" / path).write_text("x")
            assert build_hash(report.packed, report.lock) == same
        for path in ("service.py", "trifold/new.py", "trifold/online/app.py", "bentofile.yaml"):
            (tmp_path / "ops" / path).write_text("x")
            assert build_hash(report.packed, report.lock) != same
            same = build_hash(report.packed, report.lock)

    def test_settings_of_a_server_do_not_reach_a_build(self, report, own_home, monkeypatch):
        """Building imports the service, which reads settings; those of the builder's shell are none of its business."""
        monkeypatch.setenv("TRIFOLD_MAX_ROWS", "nonsense")
        assert build(report).new


class TestWhole:
    """A build is done or not done."""

    def test_model_that_works_in_no_mode_is_not_built(self, report, own_home):
        """The sentence says why."""
        report = type(report)(report.pin, findings=list(report.findings))
        report.add("format", "no", "a pickle")
        with pytest.raises(BuildError, match=r"customers version .* works in no mode: a pickle"):
            build(report)
        assert not (own_home / "bentoml").exists()

    def test_two_builds_at_once_end_well(self, report, own_home):
        """Two people, or a person and a pipeline, get the same Bento and no error."""
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: build(report), range(2))
        assert first.tag == second.tag
        assert (first.bento / "bento.yaml").is_file()
        assert Packed.read(first.model).digest == report.packed.digest
        assert not list((own_home / "parts").iterdir())

    @pytest.mark.parametrize("marker", ["packed", "bentoml/models", "bentoml/bentos"])
    def test_killed_build_leaves_nothing_half_done(self, report, own_home, marker, tmp_path):
        """Killed while the model is packed, imported or built into the Bento: the next build ends well."""
        order = own_home / "order.json"
        order.write_text(json.dumps(vars(report.packed)))
        script = f"""
import json, sys
from pathlib import Path
from trifold.ops import packaging, registry
from trifold.ops.findings import Report
from trifold.packed import Packed
fields = json.loads(Path({str(order)!r}).read_text())
fields |= {{name: tuple(fields[name]) for name in ("blocks", "input_example", "trusted")}}
pin = registry.Pin("customers", "1", None, "", fields["digest"], "", Path({str(report.pin.folder)!r}))
packaging.build(Report(pin, packed=Packed(**fields), lock=Path({str(own_home / "lock")!r}).read_text(), expected={{}}))
"""
        (own_home / "lock").write_text(report.lock)
        process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, cwd=homes.ROOT)
        end = time.monotonic() + 60
        while not list(own_home.glob(f"parts/*/{marker}")):
            assert process.poll() is None, f"it ended before {marker} was there"
            assert time.monotonic() < end, f"{marker} never came"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not list(own_home.glob("bentoml/*/*/v*"))
        built = build(report)
        assert built.new
        assert Packed.read(built.model).digest == report.packed.digest

    def test_bento_is_never_there_without_its_model(self, report, own_home, monkeypatch):
        """Killed between the two renames, the model waits for its Bento, never the other way round."""
        finish = packaging.finish

        def finish_and_die(made, target):
            finish(made, target)
            raise KeyboardInterrupt

        monkeypatch.setattr(packaging, "finish", finish_and_die)
        with pytest.raises(KeyboardInterrupt):
            build(report)
        assert list(own_home.glob("bentoml/models/*/v*"))
        assert not list(own_home.glob("bentoml/bentos/*/v*"))
        monkeypatch.setattr(packaging, "finish", finish)
        assert (build(report).bento / "bento.yaml").is_file()

    def test_what_a_killed_build_left_is_removed_a_day_later(self, own_home):
        """Litter does not fill the disk for ever, and what may still be in use is left alone."""
        old, young = own_home / "parts/old", own_home / "parts/young"
        for folder in (old, young):
            (folder / "packed").mkdir(parents=True)
        os.utime(old, (0, 0))
        with homes.part_folder():
            assert (old.exists(), young.exists()) == (False, True)

    def test_failure_of_bentoml_is_one_sentence(self, report, own_home, monkeypatch):
        """What BentoML says is passed on without its traceback, and nothing is left."""
        monkeypatch.setattr(packaging, "_options", lambda tag, packed: {"service": "nothing:Nothing"})
        with pytest.raises(BuildError, match=r"^BentoML could not build the Bento: .*nothing"):
            build(report)
        assert not list(own_home.glob("bentoml/*/*/v*"))
        assert not list((own_home / "parts").iterdir())


def test_finished_folder_is_whole_or_not_there(own_home):
    """An environment whose installation failed must not be found by the next command."""
    target = own_home / "things" / "one"
    with pytest.raises(OSError, match="full"), homes.finished_folder(target) as part:  # noqa: PT012
        (part / "file").write_text("half")
        raise OSError("full")
    assert not target.exists()
    with homes.finished_folder(target) as part:
        (part / "file").write_text("first")
    with homes.finished_folder(target) as part:
        (part / "file").write_text("second")
    assert (target / "file").read_text() == "first"
