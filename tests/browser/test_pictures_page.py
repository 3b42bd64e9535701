"""The page of a model of pictures: choosing, dropping, pasting, samples, and pictures that are none."""

import numpy as np
import pytest
from playwright.sync_api import expect

LEFT, RIGHT = "The left side is bright.", "The right side is bright."


@pytest.fixture(scope="module")
def server(serve, built_pictures):
    """A running server of the model of bright sides."""
    with serve(built_pictures) as running:
        yield running


@pytest.fixture
def page(open_page, server):
    """Its page."""
    return open_page(f"http://127.0.0.1:{server.port}/")


@pytest.fixture
def left(side_pictures, picture_file, tmp_path):
    """A file of a picture that is bright on the left."""
    (tmp_path / "left.png").write_bytes(picture_file(side_pictures[0][4]))
    return tmp_path / "left.png"


def says(page, words):
    """Wait for an answer."""
    expect(page.locator("#answer .verdict").first).to_have_text(words)


DROP = """([kind, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(bytes)], "x.png", {type: "image/png"}));
  const event = kind === "drop" ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
    : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
  document.getElementById("drop").dispatchEvent(event);
}"""


def test_a_chosen_picture_is_shown_and_answered(page, left, axe, shot):
    """Choosing a file is all: it is shown, the model looks at it, and the answer gets the focus."""
    page.set_input_files("#file", left)
    says(page, LEFT)
    assert page.locator("#preview img").evaluate("image => image.naturalWidth") == 128
    assert page.inner_text("#preview figcaption") == "left.png"
    assert page.evaluate("document.activeElement.id") == "answer"
    assert "This is a test." in page.inner_text("header")
    axe(page)
    shot(page, "picture-answered")


def test_a_jpeg_is_answered_too(page, side_pictures, picture_file, tmp_path):
    """What a phone or a camera makes is taken as well."""
    (tmp_path / "right.jpg").write_bytes(picture_file(side_pictures[0][5], "JPEG"))
    page.set_input_files("#file", tmp_path / "right.jpg")
    says(page, RIGHT)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(page, left, kind):
    """Whoever has the picture in another window or in the clipboard needs no file dialog."""
    page.evaluate(DROP, [kind, list(left.read_bytes())])
    says(page, LEFT)


def test_a_sample_is_answered_by_one_click(page, axe):
    """The samples are pictures to try the page with; another click, another answer."""
    assert page.locator(".samples img").evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    page.get_by_role("button", name="Bright on the right").click()
    says(page, RIGHT)
    page.get_by_role("button", name="Bright on the left").click()
    says(page, LEFT)
    axe(page)


def test_a_sample_is_reached_by_keyboard(page):
    """Without a mouse: Tab to the sample, Enter, and the focus is on the answer."""
    expect(page.get_by_role("button", name="Bright on the left")).to_be_enabled()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == "Bright on the left":
            break
    page.keyboard.press("Enter")
    says(page, LEFT)
    assert page.evaluate("document.activeElement.id") == "answer"


def test_a_picture_unlike_the_training_pictures_is_told_so(page, picture_file, tmp_path, axe, shot):
    """A photograph of something else gets an answer as any, and a warning before it that it means nothing."""
    noise = np.random.default_rng(1).integers(0, 255, (16, 16)).astype("uint8")
    (tmp_path / "noise.png").write_bytes(picture_file(noise))
    page.set_input_files("#file", tmp_path / "noise.png")
    expect(page.locator("#answer .warning")).to_contain_text("unlike those the model learnt from")
    axe(page)
    shot(page, "picture-unlike")


def test_a_file_that_is_no_picture_is_refused_in_words(open_page, server, tmp_path, axe, shot):
    """A document in place of a picture is named as what it is, and the next picture is answered."""
    page = open_page(f"http://127.0.0.1:{server.port}/", allow=("422",))
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 a report")
    page.set_input_files("#file", tmp_path / "report.pdf")
    says(page, "This could not be read.")
    assert "Expected a PNG or JPEG picture, got a PDF" in page.inner_text("#answer")
    assert page.locator("#preview img").is_hidden()
    axe(page)
    shot(page, "picture-refused")
    page.get_by_role("button", name="Bright on the left").click()
    says(page, LEFT)


def test_the_last_picture_wins(page, left):
    """Two pictures in quick succession: the answer that stays is the second one's."""
    page.evaluate("document.querySelectorAll('[data-sample]').forEach(button => button.click())")
    says(page, RIGHT)
    page.set_input_files("#file", left)
    says(page, LEFT)


def is_click(request):
    """Whether it fetches the first sample for a click, not for the button's own picture."""
    return request.url.endswith("/samples/1") and request.resource_type == "fetch"


def test_the_last_picture_wins_whichever_arrives_last(page):
    """A sample that is slow to come does not take the place of the one that was chosen after it."""
    expect(page.get_by_role("button", name="Bright on the left")).to_be_enabled()
    held = []
    page.route("**/samples/1", lambda route: held.append(route) if is_click(route.request) else route.continue_())
    with page.expect_request(is_click):
        page.get_by_role("button", name="Bright on the left").click()
    page.get_by_role("button", name="Bright on the right").click()
    says(page, RIGHT)
    with page.expect_response(lambda response: is_click(response.request)) as came:
        held[0].continue_()
    came.value.finished()
    page.evaluate("fetch('model').then(response => response.text())")  # all that came before it has been dealt with
    assert page.inner_text("#preview figcaption") == "Bright on the right"
    says(page, RIGHT)


def test_a_phone_offers_its_camera(open_page, server, axe, shot):
    """On a touch screen there is a button that opens the camera, and the page fits the width."""
    page = open_page(
        f"http://127.0.0.1:{server.port}/",
        viewport={"width": 360, "height": 740},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
    )
    camera = page.locator("#camera input")
    assert page.locator("#camera").is_visible()
    assert camera.get_attribute("capture") == "environment"
    page.get_by_role("button", name="Bright on the left").tap()
    says(page, LEFT)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    axe(page)
    shot(page, "picture-phone-dark")


def test_a_mouse_is_not_asked_for_a_camera(page):
    """On a desk there is no button that does the same as the other."""
    assert page.locator("#camera").is_hidden()
