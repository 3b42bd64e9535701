"""Six of the generated models as users have them: logged, checked, and asked through a socket."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import skops.io

import trifold
from tests.doors import EXAMPLE_ROWS, Logged, Sent, ask_csv, ask_json
from tests.right import wire
from tests.right.allowed import not_sent
from tests.right.judge import WRONG, Judge
from tests.right.pipelines import draw_case
from trifold.ops import environment
from trifold.ops import registry as registries
from trifold.ops.check import check
from trifold.ops.findings import NO, ONLINE
from trifold.ops.packaging import Built
from trifold.packed import ARTIFACT, EXPECTED_FILE
from trifold.trust import TRUSTED

SIX = (30, 61, 62, 85, 112, 116)
ROOT = Path(__file__).resolve().parents[2]
CODE = ("own.py", "features.py")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def code(tmp_path):
    """The code of the models, as a folder that goes with them."""
    folder = tmp_path / "code" / "tests" / "right"
    folder.mkdir(parents=True)
    for name in CODE:
        shutil.copy(Path(__file__).parent / name, folder / name)
    return folder.parent


def log(case, code):
    """Log a case as its data scientist does; gives its address, and the types to vouch for."""
    import mlflow

    name = f"right-{case.number}"
    types = skops.io.get_untrusted_types(data=skops.io.dumps(case.estimator))
    more = {"code_paths": [str(code)]} if any(kind.startswith("tests.") for kind in types) else {}
    if case.plain:
        info = mlflow.sklearn.log_model(
            case.estimator, name="model", registered_model_name=name, input_example=case.X[:EXAMPLE_ROWS],
            serialization_format="skops", skops_trusted_types=types, **more,
        )  # fmt: skip
    else:
        info = trifold.log_model(case.estimator, case.X, registered_model_name=name, trusted=types, **more)
    return f"{name}/{info.registered_model_version}", sorted(set(types) - TRUSTED)


def pack(report, folder):
    """What a build packs, without the Bento around it, which takes as long as all the rest."""
    shutil.copytree(report.pin.folder, folder / "model" / ARTIFACT)
    (folder / "model" / EXPECTED_FILE).write_text(json.dumps(report.expected))
    report.packed.write(folder / "model")
    (folder / "src").symlink_to(ROOT)
    return Built("right", folder, folder / "model", environment.python(report.lock), True)


@pytest.mark.parametrize("number", SIX)
def test_a_real_server_gives_the_estimators_own_answers(registry, serve, code, tmp_path, number):
    """What holds behind the doors in process holds after log and check, over HTTP."""
    case = draw_case(number)
    address, types = log(case, code)
    report = check(registries.pin(address), trusted=types)
    noes = [found for found in report.findings if found.verdict == NO and ONLINE in found.modes]
    if noes and case.plain:
        assert all(found.fix for found in noes), "a refusal of what MLflow alone has logged says what to log"
        return
    assert not noes, [found.says for found in noes]
    judge = Judge(replace(case, blocks=report.packed.blocks[:1]), Logged({}, None))
    sent = [row for row in range(len(case.said)) if not not_sent(case, "CSV", row)]
    rows, table = wire.as_rows(case), wire.as_table(case)
    whole = Sent([rows[row] for row in sent], table and (table[0], [table[1][row] for row in sent]))
    with serve(pack(report, tmp_path)) as server:

        def post(path, media, body):
            status, _, answer = server.ask("POST", path, body, {"Content-Type": media})
            return status, answer

        findings = judge.judge("JSON", sent, ask_json(post, whole))
        if whole.table:
            findings += judge.judge("CSV", sent, ask_csv(post, whole))
    wrong = [f"{one.door}, row {one.row}: {one.why}" for one in findings if one.outcome == WRONG]
    assert not wrong, "\n".join([case.words, *wrong])
