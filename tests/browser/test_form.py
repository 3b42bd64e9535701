"""The form and the lists, as people use them: in a real browser, against a real server."""

import csv
import re

import pytest
from playwright.sync_api import expect

EXAMPLE = {"tenure": "5", "charges": "70.5", "total": "300", "active": "Yes", "plan": "plus", "region": "north"}
LABELS = {
    "tenure": "Months as a customer",
    "charges": "Charge a month",
    "total": "Total",
    "active": "Active",
    "plan": "Plan",
    "region": "Region",
}


@pytest.fixture(scope="module")
def built(log, make, customers, customer_model):
    """The customers' model with a profile of words, ranges and a threshold."""
    from trifold.contract.profile import Feature

    address = log(
        "customers-page",
        customer_model,
        customers[0],
        title="Will this customer leave?",
        description="From what we know of the customer.",
        features={
            "tenure": Feature(title=LABELS["tenure"], unit="months", minimum=0, maximum=72),
            "charges": Feature(title=LABELS["charges"], unit="dollars", minimum=0),
        },
        threshold=0.75,
        classes={"Yes": "This customer will probably leave.", "No": "This customer will probably stay."},
    )
    return make(address)


@pytest.fixture(scope="module")
def server(serve, built):
    """A running server of it."""
    with serve(built) as running:
        yield running


@pytest.fixture
def page(open_page, server):
    """Its page."""
    return open_page(f"http://127.0.0.1:{server.port}/")


def field(page, name):
    """The field of a column, found by its label."""
    return page.get_by_label(LABELS[name], exact=False).first


def fill(page, **values):
    """Fill in the form as a person would."""
    for name, value in {**EXAMPLE, **values}.items():
        control = field(page, name)
        if control.evaluate("control => control.tagName") == "SELECT":
            control.select_option(label=value)
        else:
            control.fill(value)


def ask(page):
    """Press the button."""
    page.get_by_role("button", name="Ask the model").click()


def verdict(page):
    """What the answer says first, once it is there."""
    return page.locator("#answer .verdict").inner_text()


def test_a_filled_form_is_answered_in_words(page, server, axe, shot):
    """The sentence and the shares of the bars are what the server says of the same row."""
    fill(page)
    ask(page)
    row = {"tenure": 5, "charges": 70.5, "total": 300, "active": True, "plan": "plus", "region": "north"}
    expected = server.predict({"rows": [row]})[1]["probabilities"][0]
    assert verdict(page) == "This customer will probably leave."
    shown = dict(
        zip(
            page.locator(".bars dt").all_inner_texts(),
            page.locator(".bars dd:not(.bar)").all_inner_texts(),
            strict=True,
        )
    )
    assert list(shown) == ["This customer will probably leave", "This customer will probably stay"]
    assert expected["Yes"] > 0.9
    assert f"The model is {shown['This customer will probably leave']} certain." in page.locator("#answer").inner_text()
    assert page.evaluate("document.activeElement.id") == "answer"
    axe(page)
    shot(page, "form-answered")


def test_an_example_is_filled_in_by_one_click(page, server):
    """Each click fills in the next row of the model's input example, which is answered as it is."""
    for example in server.model["input_example"][:2]:
        page.get_by_role("button", name="Fill in an example").click()
        assert field(page, "tenure").input_value() == str(example["tenure"])
        ask(page)
        expected = server.predict({"rows": [example]})[1]
        certainty = expected["probabilities"][0][expected["predictions"][0]]
        words = {"Yes": "This customer will probably leave.", "No": "This customer will probably stay."}
        assert verdict(page) == (words[expected["predictions"][0]] if certainty >= 0.75 else "The model is not sure.")


def test_an_unsure_answer_says_so(page, server, shot):
    """Below the threshold there is no verdict, but which way the model leans and how far."""
    for tenure in range(20, 45):
        row = {"tenure": tenure, "charges": 70.5, "total": 300, "active": True, "plan": "plus", "region": "north"}
        if max(server.predict({"rows": [row]})[1]["probabilities"][0].values()) < 0.75:
            break
    fill(page, tenure=str(tenure))
    ask(page)
    assert verdict(page) == "The model is not sure."
    assert re.search(r"It leans towards “This customer will probably \w+” with \d\d %", page.inner_text("#answer"))
    shot(page, "form-not-sure")


def test_what_is_missing_is_asked_for(page, axe, shot):
    """An empty required field is named, marked and focused, and nothing is sent."""
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    ask(page)
    assert page.locator("[aria-invalid=true]").count() == 5
    assert page.locator("#e0").inner_text() == "Please fill this in."
    assert page.evaluate("document.activeElement.id") == "f0"
    assert sent == []
    axe(page)
    shot(page, "form-missing")


def test_a_refused_value_is_marked_where_it_stands(open_page, server, axe, shot):
    """The server's reason stands at its field, which gets the focus; a mended value takes it away."""
    page = open_page(f"http://127.0.0.1:{server.port}/", allow=("422",))
    fill(page, charges="a lot", tenure="4.5")
    ask(page)
    page.wait_for_selector("[aria-invalid=true]")
    assert page.locator("#e0").inner_text() == "Expected a whole number, got 4.5."
    assert page.locator("#e1").inner_text() == 'Expected a number, got "a lot".'
    assert page.evaluate("document.activeElement.id") == "f0"
    axe(page)
    shot(page, "form-error")
    fill(page)
    ask(page)
    assert verdict(page) == "This customer will probably leave."
    assert page.locator("[aria-invalid=true]").count() == 0


def test_what_the_model_itself_refuses_is_told(open_page, server):
    """A reason that names no field stands where the answer would."""
    page = open_page(f"http://127.0.0.1:{server.port}/", allow=("422",))
    fill(page)
    page.evaluate("""document.getElementById("f5").add(new Option("east", '"east"', true, true))""")
    ask(page)
    assert verdict(page) == "This could not be read."
    assert "east" in page.inner_text("#answer")


def test_a_value_beyond_the_training_data_is_warned_of(page):
    """Ranges refuse nothing: the warning stands at the field, and the answer comes all the same."""
    fill(page, tenure="500")
    field(page, "tenure").blur()
    assert page.locator("#h0").inner_text() == "Beyond what the model has seen: 0 to 72"
    ask(page)
    assert verdict(page) == "This customer will probably stay."


@pytest.mark.parametrize(("typed", "meant"), [("70,5", 70.5), (" 70.5 ", 70.5), ("7e1", 70.0), ("+70", 70.0)])
def test_numbers_are_read_as_people_type_them(page, typed, meant):
    """A decimal comma, spaces and signs are understood."""
    fill(page, charges=typed)
    with page.expect_request("**/predict") as sent:
        ask(page)
    assert sent.value.post_data_json["rows"][0]["charges"] == meant


def test_an_unknown_value_is_sent_as_missing(page):
    """A field that may be left open is null for the model."""
    fill(page, total="")
    with page.expect_request("**/predict") as sent:
        ask(page)
    assert sent.value.post_data_json["rows"][0]["total"] is None
    assert verdict(page)


def test_everything_works_by_keyboard(page):
    """Tab reaches every field and button in order, letters choose, Enter asks, and the answer gets the focus."""
    expect(page.locator("#example")).to_be_enabled()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "example"
    for typed in ("5", "70.5", "300", "Y", "plus", "north"):
        page.keyboard.press("Tab")
        page.keyboard.type(typed)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "submit"
    page.keyboard.press("Enter")
    assert verdict(page) == "This customer will probably leave."
    assert page.evaluate("document.activeElement.id") == "answer"


def test_clearing_empties_everything(page):
    """Clear takes away values, warnings and the answer."""
    fill(page, tenure="500")
    ask(page)
    assert verdict(page)
    page.get_by_role("button", name="Clear").click()
    assert field(page, "tenure").input_value() == ""
    assert page.locator("#answer").is_hidden()
    expect(page.locator("#h0")).to_have_text("0 to 72")


def test_a_server_that_is_gone_loses_nothing(open_page, serve, built, free_port, shot):
    """Whoever asks while the server is away is told so, and the same entries are answered once it is back."""
    port = free_port()
    with serve(built, port):
        page = open_page(f"http://127.0.0.1:{port}/", allow=("ERR_CONNECTION_REFUSED",))
        fill(page)
    ask(page)
    assert verdict(page) == "The server does not answer."
    shot(page, "server-gone")
    with serve(built, port):
        page.get_by_role("button", name="Try again").click()
        page.wait_for_selector("#answer .bars")
        assert verdict(page) == "This customer will probably leave."


def test_a_list_is_scored_and_offered_back(page, server, tmp_path, axe, shot):
    """The saved list is the server's own; the page says how many rows were answered and why others were not."""
    lines = ["name,tenure,charges,total,active,plan,region"]
    lines += [f"Customer {number},{number},70.5,300,true,plus,north" for number in range(1, 31)]
    lines += ["<b>bold</b>,x,70.5,300,true,plus,north", "Eve,5,70.5,,true,plus,east"]
    (tmp_path / "customers.csv").write_text("\n".join(lines) + "\n")
    page.set_input_files("#csv", tmp_path / "customers.csv")
    page.wait_for_selector("#scored .verdict")
    assert page.inner_text("#scored .verdict") == "30 of 32 rows have an answer, 2 were refused."
    reasons = page.locator("#scored li").all_inner_texts()
    assert reasons[0] == 'Row 31: tenure: expected a whole number, got "x"'
    assert reasons[1].startswith("Row 32: ")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the list").click()
    assert download.value.suggested_filename == "customers-answers.csv"
    saved = download.value.path().read_bytes()
    body = (tmp_path / "customers.csv").read_bytes()
    assert saved == server.ask("POST", "/predict/csv", body, {"Content-Type": "text/csv"})[2]
    assert len(list(csv.reader(saved.decode("utf-8-sig").splitlines()))) == 33
    axe(page)
    shot(page, "list-scored")


def test_the_example_list_is_scored_as_it_is(page, tmp_path):
    """Who downloads the example and uploads it again gets answers to all of it."""
    with page.expect_download() as download:
        page.get_by_role("link", name="this example").click()
    download.value.save_as(tmp_path / "example.csv")
    page.set_input_files("#csv", tmp_path / "example.csv")
    page.wait_for_selector("#scored .verdict")
    assert page.inner_text("#scored .verdict") == "5 of 5 rows have an answer."


def test_a_list_of_other_columns_is_refused_in_a_sentence(open_page, server, tmp_path):
    """Nobody gets a list of empty answers for a file that was the wrong one."""
    page = open_page(f"http://127.0.0.1:{server.port}/", allow=("422",))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    page.set_input_files("#csv", tmp_path / "other.csv")
    page.wait_for_selector("#scored .verdict")
    assert 'Expected the columns "tenure"' in page.inner_text("#scored")


@pytest.mark.parametrize("width", [320, 360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read_everywhere(open_page, server, axe, shot, width, scheme):
    """At any width nothing is cut off sideways, and in light and dark the contrast is enough."""
    page = open_page(f"http://127.0.0.1:{server.port}/", viewport={"width": width, "height": 800}, color_scheme=scheme)
    fill(page)
    ask(page)
    assert verdict(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    axe(page)
    if width != 320:
        shot(page, f"form-{'phone' if width == 360 else 'wide'}-{scheme}")


def test_a_button_that_would_do_nothing_yet_is_off(open_page, server):
    """Whoever is quicker than the network fills in no empty example, and asks about no empty form."""
    page = open_page(f"http://127.0.0.1:{server.port}/")
    held = []
    page.route("**/model", lambda route: held.append(route))
    page.reload()
    example = page.get_by_role("button", name="Fill in an example")
    assert example.is_disabled()
    with page.expect_response("**/model"):
        held[0].continue_()
    example.click()
    ask(page)
    assert verdict(page)


def test_without_script_it_says_what_to_do(open_page, server):
    """A browser that runs no script shows why the page does nothing, and the line for a shell."""
    page = open_page(f"http://127.0.0.1:{server.port}/", java_script_enabled=False)
    assert "needs JavaScript" in page.inner_text("noscript")
    assert page.locator("pre").count() == 1


def test_behind_the_gateway_it_leads_to_all_models(open_page, server):
    """Under the gateway's prefix the page links to the front page, and its own links are relative."""
    page = open_page(f"http://127.0.0.1:{server.port}/", extra_http_headers={"X-Forwarded-Prefix": "/models/churn"})
    assert page.get_by_role("link", name="All models").get_attribute("href") == "../../"
    assert f"http://127.0.0.1:{server.port}/models/churn/predict" in page.text_content("pre")
