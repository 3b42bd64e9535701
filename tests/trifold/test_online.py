"""What a real server answers: every status, every body, to good requests and bad ones."""

import gzip
import json
import re
from http.client import HTTPConnection

import numpy as np
import pytest

from trifold.contract.profile import LACKS
from trifold.errors import RULES
from trifold.online.release import NOT_COMPARED

JSON = {"Content-Type": "application/json"}
ROW = {"tenure": 5, "charges": 70.5, "total": 300.0, "active": True, "plan": "plus", "region": "north"}


def row(**changes):
    """A good row with some columns changed."""
    return {**ROW, **changes}


def without(column):
    """A good row without one column."""
    return {name: value for name, value in ROW.items() if name != column}


def errors(status_and_body):
    """Status, and (row, column, rule) of each error, which must have exactly the documented names."""
    status, body = status_and_body
    assert all(list(error) == ["row", "column", "rule", "expected", "got"] for error in body["errors"])
    assert all(error["rule"] in RULES for error in body["errors"])
    return status, [(error["row"], error["column"], error["rule"]) for error in body["errors"]]


@pytest.fixture(scope="module")
def numbers_server(serve, built_numbers):
    """A running server of the model of arrays."""
    with serve(built_numbers) as running:
        yield running


class TestFiles:
    """Routes for files, on models that do not take them."""

    @pytest.mark.parametrize("path", ["/predict/image", "/predict/csv"])
    def test_a_file_that_the_model_has_no_use_for_is_404(self, numbers_server, path):
        """A model of arrays takes neither pictures nor tables: it says so, and is not silent or broken."""
        media = {"/predict/image": "multipart/form-data; boundary=x", "/predict/csv": "text/csv"}[path]
        body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\nx\r\n--x--\r\n'
        status, _, answer = numbers_server.ask("POST", path, body, {"Content-Type": media})
        assert errors((status, json.loads(answer))) == (404, [(None, None, "path")])
        assert path not in json.loads(numbers_server.ask("GET", "/docs.json")[2])["paths"]

    def test_a_model_of_tables_takes_no_pictures(self, customers_server):
        """What OpenAPI does not list is not there."""
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        status, _, answer = customers_server.ask("POST", "/predict/image", b"--x--\r\n", headers)
        assert errors((status, json.loads(answer))) == (404, [(None, None, "path")])


class TestAnswers:
    """POST /predict with rows that the model takes."""

    def test_answer_has_version_and_probabilities_by_label(self, customers_server, customers, customer_model):
        """A row's answer says which version made it, and the probabilities are scikit-learn's own."""
        X = customers[0].head(20)
        rows = [
            {name: None if value != value else value for name, value in row.items()}
            for row in X.astype(object).to_dict("records")
        ]
        status, body = customers_server.predict({"rows": rows})
        assert status == 200
        assert list(body) == ["model", "version", "predictions", "probabilities"]
        assert (body["model"], body["version"]) == ("customers", customers_server.model["version"])
        assert body["predictions"] == customer_model.predict(X).tolist()
        assert [list(named) for named in body["probabilities"]] == [["No", "Yes"]] * 20
        found = [list(named.values()) for named in body["probabilities"]]
        np.testing.assert_allclose(found, customer_model.predict_proba(X), rtol=1e-12)

    def test_example_can_be_posted_as_it_is(self, customers_server):
        """Whoever copies the input example out of GET /model gets the answers that were made at build."""
        status, body = customers_server.predict({"rows": customers_server.model["input_example"]})
        expected = json.loads((customers_server.built.model / "expected.json").read_text())
        assert status == 200
        assert body["predictions"] == expected["predictions"]
        found = [list(named.values()) for named in body["probabilities"]]
        np.testing.assert_allclose(found, expected["probabilities"][0], rtol=1e-9)

    @pytest.mark.parametrize("changed", [row(plan="never seen"), row(total=None), without("total"), row(charges=70)])
    def test_what_the_model_can_do_without_is_accepted(self, customers_server, changed):
        """An unseen category, an optional null, an optional column left out and a whole number are no errors."""
        status, body = customers_server.predict({"rows": [changed]})
        assert (status, len(body["predictions"])) == (200, 1)

    def test_names_may_stand_in_any_order(self, customers_server):
        """The order of names in an object means nothing in JSON, so it changes no answer."""
        turned = dict(reversed(ROW.items()))
        assert customers_server.predict({"rows": [turned]}) == customers_server.predict({"rows": [ROW]})

    def test_ten_thousand_rows_are_taken_and_one_more_is_not(self, customers_server):
        """The limit of rows is where it is documented, whether or not the body fits."""
        status, body = customers_server.predict({"rows": [ROW] * 10_000})
        assert (status, len(body["predictions"])) == (200, 10_000)
        assert errors(customers_server.predict({"rows": [ROW] * 10_001})) == (413, [(None, None, "too_large")])

    def test_answers_do_not_depend_on_the_neighbours(self, customers_server):
        """A row posted alone has the same bits as among others: in the loop, in the thread, in any block."""
        rows = [row(tenure=number % 72, charges=number / 7) for number in range(900)]
        together = customers_server.predict({"rows": rows})[1]["probabilities"]
        for number in (0, 1, 17, 899):
            assert customers_server.predict({"rows": [rows[number]]})[1]["probabilities"] == [together[number]]

    def test_array_rows_are_lists_and_outputs_stand_side_by_side(self, numbers_server):
        """A model of arrays takes lists; one with two outputs gives two labels and two sets of probabilities a row."""
        status, body = numbers_server.predict({"rows": [[1.5, -0.5, 0, 2], [-1, 1, 0.25, 0]]})
        assert status == 200
        assert [len(pair) for pair in body["predictions"]] == [2, 2]
        assert [[list(output) for output in pair] for pair in body["probabilities"]] == [[["0", "1"], ["1", "2"]]] * 2

    @pytest.mark.parametrize(
        ("rows", "found"),
        [
            ([[1, 2, 3]], [(0, None, "shape")]),
            ([[1, 2, 3, "4"]], [(0, "[3]", "type")]),
            ([[1, 2, 3, 4], [1, "", 3, 4]], [(1, "[1]", "type")]),
            ([{"a": 1}], [(0, None, "shape")]),
            ([7], [(0, None, "shape")]),
        ],
    )
    def test_array_rows_of_another_shape_are_refused_by_place(self, numbers_server, rows, found):
        """What is wrong in an array is named by its place."""
        assert errors(numbers_server.predict({"rows": rows})) == (422, found)

    def test_array_example_can_be_posted_as_it_is(self, numbers_server):
        """The example of a model of arrays is as good as any other."""
        model = numbers_server.model
        status, body = numbers_server.predict({"rows": model["input_example"]})
        assert (status, len(body["predictions"])) == (200, len(model["input_example"]))


class TestRefusals:
    """POST /predict with what is refused."""

    @pytest.mark.parametrize(
        ("changed", "found"),
        [
            (row(charges="70"), [(0, "charges", "type")]),
            (row(tenure=1.5), [(0, "tenure", "type")]),
            (row(tenure=True), [(0, "tenure", "type")]),
            (row(active=1), [(0, "active", "type")]),
            (row(plan=7), [(0, "plan", "type")]),
            (row(plan=["plus"]), [(0, "plan", "type")]),
            (row(charges=None), [(0, "charges", "missing")]),
            (row(tenure=2**63), [(0, "tenure", "out_of_range")]),
            (row(charges=10**400), [(0, "charges", "not_finite")]),
            (without("plan"), [(0, "plan", "missing_column")]),
            (row(colour="red"), [(0, "colour", "unknown_column")]),
            (row(plan=None, charges="x"), [(0, "charges", "type"), (0, "plan", "missing")]),
            ([5, 70.5], [(0, None, "row")]),
            (None, [(0, None, "row")]),
        ],
    )
    def test_bad_row_is_named(self, customers_server, changed, found):
        """422 says which row, which column and which rule."""
        assert errors(customers_server.predict({"rows": [changed]})) == (422, found)

    @pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
    def test_number_that_is_none_is_named(self, customers_server, token):
        """What Python's json writes for NaN is no JSON, but the answer still says where it stands and what it is."""
        text = json.dumps({"rows": [ROW, row(charges="HERE")]}).replace('"HERE"', token)
        status, body = customers_server.predict(text)
        assert errors((status, body)) == (422, [(1, "charges", "not_finite")])
        assert body["errors"][0]["got"] == token

    def test_name_that_stands_twice_is_named(self, customers_server):
        """A parser would take the last of two values in silence."""
        text = json.dumps({"rows": [ROW]}).replace('{"tenure": 5', '{"tenure": 1, "tenure": 5')
        assert errors(customers_server.predict(text)) == (422, [(0, "tenure", "duplicate_column")])

    def test_row_that_the_model_refuses_is_named_alone(self, customers_server):
        """One customer of a region that the encoder does not know costs nobody else their answer's reason."""
        rows = [ROW] * 40
        rows[7] = rows[31] = row(region="east")
        status, body = customers_server.predict({"rows": rows})
        assert errors((status, body)) == (422, [(7, None, "refused_by_model"), (31, None, "refused_by_model")])
        assert "east" in body["errors"][0]["got"]

    @pytest.mark.parametrize(
        "text",
        ["[]", "7", "null", '"rows"', "{}", '{"rows": {}}', '{"rows": []}', '{"rows": [{}], "more": 1}',
         '{"rows": null}', '{"instances": []}', '{"rows": [], "rows": []}', '{"rows": [{}], "params": []}'],
    )  # fmt: skip
    def test_body_of_another_shape_is_refused_whole(self, customers_server, text):
        """JSON that is no request is 422 and says what a request looks like."""
        assert errors(customers_server.predict(text)) == (422, [(None, None, "body")])

    def test_unknown_parameter_is_refused(self, customers_server):
        """A parameter that the model does not have must not be ignored in silence."""
        found = errors(customers_server.predict({"rows": [ROW], "params": {"threshold": 0.5}}))
        assert found == (422, [(None, "threshold", "param")])

    @pytest.mark.parametrize(
        "text",
        [b"", b"{", b"{'rows': []}", b'{"rows": [}', b"\xff\xfe", b'{"rows": [{"plan": "\xe9"}]}', b"[" * 100_000,
         b'{"rows": ["\\ud800"]}', b'{"rows": [{"a": 01}]}', b"\0", b"rows=1"],
    )  # fmt: skip
    def test_no_json_is_400(self, customers_server, text):
        """Text that is no JSON, or no UTF-8, or nested without end, is 400."""
        assert errors(customers_server.predict(text)) == (400, [(None, None, "json")])

    def test_many_errors_are_counted_and_cut(self, customers_server):
        """An answer to 10,000 bad rows must not be a hundred times as long as the question."""
        status, body = customers_server.predict({"rows": [row(charges="x")] * 3000})
        assert (status, len(body["errors"]), body["errors_total"]) == (422, 100, 3000)

    def test_long_value_is_cut(self, customers_server):
        """What came is shown, but not a megabyte of it."""
        status, body = customers_server.predict({"rows": [row(charges="x" * 1_000_000)]})
        assert status == 422
        assert len(body["errors"][0]["got"]) == 200


class TestProtocol:
    """Methods, media types, sizes, paths."""

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/vnd.bentoml+pickle"},
            {"Content-Type": "multipart/form-data; boundary=x"},
            {"Content-Type": "application/jsonp"},
            {"Content-Type": "application/json; charset=iso-8859-1"},
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ],
    )
    def test_another_media_type_is_415(self, customers_server, headers):
        """What is declared as something else is not guessed at; a pickle is not even looked at."""
        body = gzip.compress(json.dumps({"rows": [ROW]}).encode())
        status, _, answer = customers_server.ask("POST", "/predict", body, headers)
        assert errors((status, json.loads(answer))) == (415, [(None, None, "media_type")])

    @pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=UTF-8"])
    def test_json_is_taken_however_it_is_declared(self, customers_server, kind):
        """Media types have no case, and UTF-8 may be said."""
        status, headers, _ = customers_server.ask(
            "POST", "/predict", json.dumps({"rows": [ROW]}), {"Content-Type": kind}
        )
        assert (status, headers["Content-Type"]) == (200, "application/json")

    def test_body_over_ten_megabytes_is_413(self, customers_server):
        """A declared length is refused without being read, and the client that sends it all still gets its answer."""
        body = b'{"rows": [' + b" " * 11_000_000 + b"]}"
        assert errors(customers_server.predict(body)) == (413, [(None, None, "too_large")])

    def test_chunked_body_over_ten_megabytes_is_413(self, customers_server):
        """A length that is not declared is counted."""
        connection = HTTPConnection("127.0.0.1", customers_server.port, timeout=30)
        connection.request("POST", "/predict", (b" " * 65_536 for _ in range(170)), JSON, encode_chunked=True)
        answer = connection.getresponse()
        assert errors((answer.status, json.loads(answer.read()))) == (413, [(None, None, "too_large")])
        connection.request("POST", "/predict", json.dumps({"rows": [ROW]}), JSON)
        assert connection.getresponse().status == 200
        connection.close()

    def test_chunked_body_is_read_as_one(self, customers_server):
        """A body in pieces is the same request, small or large."""
        for count in (1, 2000):
            text = json.dumps({"rows": [ROW] * count}).encode()
            pieces = (text[start : start + 100] for start in range(0, len(text), 100))
            status, _, body = customers_server.ask("POST", "/predict", pieces, JSON)
            assert (status, len(json.loads(body)["predictions"])) == (200, count)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_other_methods_on_predict_are_405(self, customers_server, method):
        """The answer names the one that there is."""
        status, headers, body = customers_server.ask(method, "/predict")
        assert errors((status, json.loads(body))) == (405, [(None, None, "method")])
        assert headers["Allow"] == "POST"

    @pytest.mark.parametrize("path", ["/", "/model", "/docs.json", "/livez", "/readyz", "/metrics"])
    def test_documents_take_get_and_head_only(self, customers_server, path):
        """HEAD is GET without the body; anything else is 405 in the form of all errors."""
        status, headers, body = customers_server.ask("GET", path)
        assert (status, len(body)) == (200, int(headers["Content-Length"]))
        status, headers, body = customers_server.ask("HEAD", path)
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) > 0
        status, headers, body = customers_server.ask("POST", path, "{}", JSON)
        assert errors((status, json.loads(body))) == (405, [(None, None, "method")])
        assert set(headers["Allow"].split(", ")) == {"GET", "HEAD"}

    @pytest.mark.parametrize("path", ["/nothing", "/predict/", "/../etc/passwd", "/static_content/x", "/%00", "/é"])
    def test_unknown_path_is_404(self, customers_server, path):
        """A wrong path is said in the form of all errors, and redirects to no address that a proxy may not have."""
        path = path.encode().decode("latin-1") if path.isascii() else "/%C3%A9"
        status, headers, body = customers_server.ask("GET", path)
        assert errors((status, json.loads(body))) == (404, [(None, None, "path")])
        assert headers["Content-Type"] == "application/json"

    def test_connection_is_kept(self, customers_server):
        """A refusal does not cost the client its connection."""
        connection = HTTPConnection("127.0.0.1", customers_server.port, timeout=30)
        local = None
        for body, kind, status in [("{", "application/json", 400), ("x" * 100_000, "text/plain", 415),
                                   (json.dumps({"rows": [ROW]}), "application/json", 200)]:  # fmt: skip
            connection.request("POST", "/predict", body, {"Content-Type": kind})
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (status, True)
            local = local or connection.sock.getsockname()
            assert connection.sock.getsockname() == local
        connection.close()

    def test_what_only_the_bento_has_is_the_bentos(self, customers_server):
        """BentoML's own tools ask /healthz and /schema.json, so these stay."""
        assert customers_server.ask("GET", "/healthz")[0] == 200
        assert json.loads(customers_server.ask("GET", "/schema.json")[2])["name"] == "trifold"


class TestDocuments:
    """GET /model, /docs.json, /, the probes."""

    def test_model_says_what_is_served(self, customers_server):
        """Who asks a server learns exactly which model it is, and what it takes."""
        model = customers_server.model
        packed = json.loads((customers_server.built.model / "trifold.json").read_text())
        for name in ("name", "version", "run_id", "digest", "parity", "input_example", "metrics"):
            assert model[name] == packed[name]
        assert [column["name"] for column in model["signature"]["inputs"]] == list(ROW)
        assert (model["title"], model["description"]) == ("Will they leave?", "A <b>test</b>.")
        assert model["profile"]["title"] == "Will they leave?"
        assert model["lacks"] == []
        assert model["trusted"] == {"pickle": False, "types": []}

    def test_model_without_profile_says_what_it_lacks(self, log_plain_server):
        """A model logged by plain MLflow is served, and what it does without is said."""
        model = log_plain_server.model
        assert model["profile"] is None
        assert model["lacks"] == [*LACKS, NOT_COMPARED]
        assert model["compared"] is None
        assert log_plain_server.predict({"rows": model["input_example"]})[0] == 200

    def test_text_model_takes_text(self, log_plain_server):
        """A vectorizer gets the column's strings, whatever they hold."""
        texts = ["good film", "", 'quote " and \\ backslash', "日本語 🎬", "a, b: [c] {d}"]
        status, body = log_plain_server.predict({"rows": [{"text": text} for text in texts]})
        assert (status, len(body["predictions"])) == (200, 5)

    def test_docs_are_openapi_of_this_model(self, customers_server):
        """The OpenAPI document is valid, and its example is one that can be posted."""
        from openapi_spec_validator import validate

        document = json.loads(customers_server.ask("GET", "/docs.json")[2])
        validate(document)
        body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
        assert customers_server.predict(body["example"])[0] == 200
        assert set(body["schema"]["properties"]["rows"]["items"]["properties"]) == set(ROW)

    def test_page_is_ours_and_loads_nothing(self, customers_server):
        """The page tells no other host that it was opened, holds no script and shows the model's texts as text."""
        status, headers, body = customers_server.ask("GET", "/")
        text = body.decode()
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert re.findall(r"<script[^>]*>[^<]*", text) == ['<script type="module" src="page/page.js">']
        assert "A &lt;b&gt;test&lt;/b&gt;." in text
        loaded = ["data:,", "page/page.css", "page/page.js", "#main", "example.csv", "model", "docs.json"]
        assert re.findall(r'(?:href|src)="(.*?)"', text) == loaded
        assert set(re.findall(r"https?://[^/ ]*", text)) == {f"http://127.0.0.1:{customers_server.port}"}

    @pytest.mark.parametrize("host", ["<script>alert(1)</script>", "a'b", "x y", "", "evil.example:80\\"])
    def test_page_shows_no_host_that_is_none(self, customers_server, host):
        """The curl line is made from the Host header, which anybody may choose."""
        status, _, body = customers_server.ask("GET", "/", headers={"Host": host})
        assert (status, "http://localhost:3000/predict" in body.decode()) == (200, True)

    def test_curl_line_works(self, customers_server):
        """The line that the page and `trifold serve` print can be pasted into a shell."""
        import subprocess

        from trifold.ops.serve import curl

        line = curl(customers_server.built, "127.0.0.1", customers_server.port)
        done = subprocess.run(["sh", "-c", line.replace("curl ", "curl -s ")], capture_output=True, check=True)
        assert len(json.loads(done.stdout)["predictions"]) == 1

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_probes_answer(self, customers_server, path):
        """Who answers at all is ready: the server listens only after the model predicted its own example."""
        status, _, body = customers_server.ask("GET", path)
        assert (status, json.loads(body)) == (200, {"status": "ok"})

    def test_no_body_shows_a_path_or_a_traceback(self, customers_server):
        """Nothing that is answered tells a stranger about the machine."""
        asked = [("GET", path, None) for path in ("/", "/model", "/docs.json", "/metrics", "/nothing")]
        asked += [
            ("POST", "/predict", json.dumps(body)) for body in ({"rows": [row(region="east")]}, {"rows": [{}]}, 7)
        ]
        for method, path, body in asked:
            text = customers_server.ask(method, path, body, JSON)[2].decode()
            assert not re.search(r"Traceback|File \"|/home/|/root|/tmp|/work|site-packages", text), (path, text)


@pytest.fixture(scope="module")
def log_plain_server(registry, serve):
    """A running server of a text model that plain MLflow logged."""
    import mlflow
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from trifold.ops import registry as registries
    from trifold.ops.check import check
    from trifold.ops.packaging import build

    texts = pd.DataFrame({"text": ["good", "good film", "bad", "bad film"] * 10})
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts.text, ["+", "+", "-", "-"] * 10)
    info = mlflow.sklearn.log_model(
        model, name="model", registered_model_name="texts", input_example=texts.head(3), serialization_format="skops"
    )
    built = build(check(registries.pin(f"texts/{info.registered_model_version}")))
    with serve(built) as running:
        yield running
