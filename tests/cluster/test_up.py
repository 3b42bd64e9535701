"""`make up`: what a newcomer runs, from the cluster to an answer through the gateway; and again."""

import json
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.cluster.ups import up

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def said(cluster):
    """What the first run printed."""
    return up(cluster)[0]


def ask(url, document=None):
    """Status and decoded answer."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own cluster
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_printed_line_is_answered(said):
    """The first thing that a newcomer does with it."""
    line = next(line for line in said.splitlines() if line.startswith("curl "))
    done = subprocess.run(["sh", "-c", line.replace("curl", "curl -s", 1)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["predictions"] in (["No"], ["Yes"])


def test_good_and_bad_rows_through_the_gateway(said):
    """The model's own example is answered, and what does not fit is refused with row and column."""
    (url,) = re.findall(r"programs: (\S+)/\)$", said, re.MULTILINE)
    status, model = ask(f"{url}/model")
    assert (status, model["name"]) == (200, "churn")
    rows = model["input_example"]
    status, answer = ask(f"{url}/predict", {"rows": rows})
    assert (status, answer["version"], len(answer["predictions"])) == (200, model["version"], len(rows))
    status, answer = ask(f"{url}/predict", {"rows": [rows[0], {**rows[0], "tenure": "many"}]})
    assert status == 422
    assert answer["errors"][0].items() >= {"row": 1, "column": "tenure", "rule": "type"}.items()
    assert ask(f"{url}/metrics")[0] == 404


@pytest.fixture
def front(said, open_page):
    """The gateway's front page, as `make up` prints its address."""
    (address,) = re.findall(r"open this (\S+)", said)
    return open_page(address)


def test_a_person_finds_a_model_and_asks_it(front, axe, shot):
    """From the printed address, by links and buttons alone: the list of models, a form, an answer, and back.

    The tests of batch jobs may have releases of their own in the list meanwhile, so links are found by address.
    """
    titles = {
        "brain-tumour": "Is there a lesion in this MRI slice?",
        "sales-forecast": "What will the next month's sales be?",
        "churn": "Will this customer leave?",
    }
    assert {name: front.inner_text(f'h2 a[href="models/{name}/"]') for name in titles} == titles
    axe(front)
    shot(front, "front-page")
    front.click('h2 a[href="models/churn/"]')
    front.get_by_role("button", name="Fill in an example").click()
    front.get_by_role("button", name="Ask the model").click()
    front.wait_for_selector("#answer .verdict")
    assert front.inner_text("#answer .verdict").startswith("This customer will")
    axe(front)
    shot(front, "churn-answered")
    front.get_by_role("link", name="All models").click()
    front.wait_for_selector('h2 a[href="models/churn/"]')


def test_a_person_asks_about_a_picture(front, axe, shot):
    """A sample slice is answered in words, and the page says that it is no medical device before anything else."""
    front.get_by_role("link", name="Is there a lesion").click()
    assert "no medical device" in front.inner_text("header .note")
    front.locator("[data-sample]").first.click()
    front.wait_for_selector("#answer .bars")
    axe(front)
    shot(front, "mri-answered")


def test_a_second_run_changes_no_pod(said, cluster):
    """`make up` again is the way back after whatever went wrong, so it must be quick and touch nothing that is well."""
    from kubernetes import client

    def templates():
        """Which revision of which template the pods are of; how many there are, an autoscaler decides."""
        found = client.CoreV1Api().list_pod_for_all_namespaces(label_selector="app.kubernetes.io/part-of=trifold").items
        names = ("pod-template-hash", "controller-revision-hash")
        return {
            (pod.metadata.namespace, pod.metadata.labels["app.kubernetes.io/component"], pod.metadata.labels.get(name))
            for pod in found
            for name in names
            if pod.metadata.labels["app.kubernetes.io/instance"]
            in ("platform", "churn", "brain-tumour", "sales-forecast")
            and pod.metadata.namespace in ("platform", "models")
            and pod.metadata.labels.get(name)
            and not pod.metadata.deletion_timestamp
        }

    before = templates()
    again, seconds = up(cluster)
    print(f"again: {seconds:.0f} s")
    assert "there already" in again
    assert templates() == before
