"""Pages of models of other kinds: no profile, text, tensors, two answers, a unit, 500 columns, odd names."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

MARKUP = [
    "<script>window.broken=1</script>",
    "<img src=x onerror=window.broken=1>",
    "<svg onload=window.broken=1>",
    '"><script>window.broken=1</script>',
    "'><img src=x onerror=window.broken=1>",
    '" onfocus=window.broken=1 autofocus x="',
    "' onmouseover=window.broken=1 x='",
    "javascript:window.broken=1",
    "</option></select><script>window.broken=1</script>",
    "</textarea><script>window.broken=1</script>",
    "</title><script>window.broken=1</script>",
    "</style><script>window.broken=1</script>",
    "<!--<script>window.broken=1</script>-->",
    "]]><script>window.broken=1</script>",
    "<iframe srcdoc='<script>parent.broken=1</script>'>",
    "<a href=javascript:window.broken=1>x</a>",
    "<form action=javascript:window.broken=1><input type=submit>",
    "<base href=https://example.org/>",
    "<meta http-equiv=refresh content='0;url=https://example.org/'>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<style>body{display:none}</style>",
    "<object data=javascript:window.broken=1>",
    "<embed src=javascript:window.broken=1>",
    "<details open ontoggle=window.broken=1>",
    "<video><source onerror=window.broken=1>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.broken=1>",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "${window.broken=1}",
    "`${window.broken=1}`",
    "\\u003cscript\\u003ewindow.broken=1\\u003c/script\\u003e",
    "&lt;script&gt;window.broken=1&lt;/script&gt;",
    "&#60;script&#62;window.broken=1&#60;/script&#62;",
    "%3Cscript%3Ewindow.broken=1%3C/script%3E",
    "<scr<script>ipt>window.broken=1</scr</script>ipt>",
    "<SCRIPT SRC=https://example.org/x.js></SCRIPT>",
    "<body onload=window.broken=1>",
    "<input autofocus onfocus=window.broken=1>",
    "<marquee onstart=window.broken=1>",
    "<div style=background:url(https://example.org/x)>",
    "<table background=https://example.org/x>",
    "<x contenteditable onblur=window.broken=1>",
    "<template><script>window.broken=1</script></template>",
    '<noscript><p title="</noscript><img src=x onerror=window.broken=1>">',
    "\u202e<gpj.script>",
    "__proto__",
    "constructor",
    "a" * 300,
    "🦆 <b>duck</b> & \"Co\" 'x'",
    "line one\nline <i>two</i>",
]


@pytest.fixture(scope="module")
def page_of(log, make, serve):
    """A function that serves a model; gives the running server."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda name, model, X, **options: stack.enter_context(serve(make(log(name, model, X, **options))))


def ask(page):
    """Press the button; what the answer says."""
    page.get_by_role("button", name="Ask the model").click()
    page.wait_for_selector("#answer .verdict")
    return page.inner_text("#answer")


def test_markup_is_text_everywhere(page_of, open_page, axe, shot):
    """Fifty strings that would be markup stand as they are in titles, names, choices, classes and answers."""
    assert len(set(MARKUP)) == 50
    random = np.random.default_rng(0)
    half = len(MARKUP) // 2
    X = pd.DataFrame({name: random.choice(MARKUP[half:], 200) for name in MARKUP})
    X.iloc[: len(MARKUP)] = np.tile(np.array(MARKUP, dtype=object)[:, np.newaxis], len(MARKUP))
    y = random.choice(MARKUP[:4], 200)
    from sklearn.preprocessing import OneHotEncoder

    from trifold.contract.profile import Feature

    features = {
        name: Feature(title=name, unit=name, choices=tuple(MARKUP[place : place + 1]))
        for place, name in enumerate(MARKUP)
    }
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=50)).fit(X, y)
    running = page_of(
        "markup", model, X, title=MARKUP[0], description=MARKUP[1], note=MARKUP[2], features=features,
        classes=dict.fromkeys(MARKUP[:4], MARKUP[3]), threshold=0.0,
    )  # fmt: skip
    page = open_page(f"http://127.0.0.1:{running.port}/")
    assert page.title() == MARKUP[0]
    assert page.inner_text("h1") == MARKUP[0]
    names = page.locator("[data-name]").evaluate_all("fields => fields.map(field => field.dataset.name)")
    assert names == list(X.columns)
    labels = page.locator(".field label").evaluate_all("labels => labels.map(label => label.firstChild.data.trim())")
    assert [label.split() for label in labels] == [name.split() for name in names]
    page.get_by_role("button", name="Fill in an example").click()
    assert MARKUP[3].rstrip(".") in ask(page)
    page.set_input_files(
        "#csv", {"name": f"{MARKUP[1]}.csv", "mimeType": "text/csv", "buffer": running.ask("GET", "/example.csv")[2]}
    )
    page.wait_for_selector("#scored .verdict")
    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.scripts.length") == 1
    axe(page)
    shot(page, "markup")


def test_a_model_without_profile_has_plain_fields(page_of, open_page, registry, make, serve):
    """A model that was logged by MLflow alone gets a form of plain inputs from its signature."""
    import mlflow

    X = pd.DataFrame({"first_number": [1.0, 2.0, 3.0, 4.0], "whole": [1, 2, 3, 4], "word": ["a", "b", "a", "b"]})
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(X, [2.0, 4.0, 6.0, 8.0])
    info = mlflow.sklearn.log_model(
        model, name="plain", registered_model_name="plain", input_example=X, serialization_format="skops",
        skops_trusted_types=["numpy.dtype"],
    )  # fmt: skip
    with serve(make(f"plain/{info.registered_model_version}")) as running:
        page = open_page(f"http://127.0.0.1:{running.port}/")
        assert page.inner_text("h1") == "plain"
        assert page.locator("label[for=f0]").inner_text() == "First number"
        page.get_by_label("First number").fill("3")
        page.get_by_label("Whole", exact=True).fill("3")
        page.get_by_label("Word").fill("a")
        assert page.get_by_label("Word").evaluate("field => field.tagName") == "INPUT"
        assert "6" in ask(page)


def test_text_is_asked_for_in_a_large_field(page_of, open_page):
    """A model of texts gets one field of several lines, and its answers are classes."""
    texts = np.array(["good fast ride", "late bad driver", "good street", "bad night"] * 20)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["good", "bad"] * 40)
    running = page_of("texts", model, texts.reshape(-1), title="Good or bad?")
    page = open_page(f"http://127.0.0.1:{running.port}/")
    page.locator("textarea").fill("good fast\nride")
    assert "good" in ask(page)


def test_several_answers_stand_under_each_other(open_page, serve, built_numbers, shot):
    """A model of four numbers and two outputs gets four fields and shows both answers, each with its shares."""
    with serve(built_numbers) as running:
        page = open_page(f"http://127.0.0.1:{running.port}/")
        assert page.locator(".field").count() == 4
        for place in range(4):
            page.locator(f"#f{place}").fill("0.5")
        ask(page)
        assert page.locator("#answer .verdict").count() == 2
        assert page.locator("#answer .bars").count() == 2
        assert page.locator("#csv").count() == 0
        shot(page, "two-answers")


def test_a_number_has_its_unit_and_interval(page_of, open_page, shot):
    """A regressor's answer is a number in words' unit, with the interval that training found."""
    X = pd.DataFrame({"miles": np.linspace(0, 20, 100)})
    model = RandomForestRegressor(n_estimators=5, random_state=0).fit(X, 1234.5 + 0 * X.miles)
    running = page_of("fares", model, X, title="What will it cost?", unit="dollars", interval=100.0)
    page = open_page(f"http://127.0.0.1:{running.port}/", locale="en-US")
    page.get_by_label("Miles").fill("3")
    said = ask(page)
    assert "1,234.5 dollars" in said
    assert "Likely between 1,134.5 and 1,334.5 dollars." in said
    shot(page, "number")


def test_five_hundred_columns_get_lists_only(page_of, open_page, axe):
    """Nobody fills in 500 fields: such a model takes lists, and its example list is scored as it is."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 500)), columns=[f"c{place}" for place in range(500)])
    running = page_of("wide", LinearRegression().fit(X, X.c0), X)
    page = open_page(f"http://127.0.0.1:{running.port}/")
    assert page.locator("form").count() == 0
    page.set_input_files(
        "#csv", {"name": "x.csv", "mimeType": "text/csv", "buffer": running.ask("GET", "/example.csv")[2]}
    )
    page.wait_for_selector("#scored .verdict")
    assert page.inner_text("#scored .verdict") == "5 of 5 rows have an answer."
    axe(page)
