// The page's start: asks what the model is, then lets the form, pictures and lists do their work.
import { ask, readable, Refused, Unreachable } from "./ask.js";
import { showAnswer, showProblem } from "./answer.js";
import { startPictures } from "./pictures.js";
import { startLists } from "./lists.js";

const $ = (id) => document.getElementById(id);

// Whoever is quick may act before the model is known: an answer waits for it, nothing is lost. A button that would do
// nothing yet cannot be pressed: the page comes with its buttons off, and what serves a button turns it on.
function start() {
  const model = known();
  if ($("form")) startForm($("form"), model);
  if ($("picture")) startPictures(model);
  if ($("csv")) startLists();
}

// The model's document; while the server cannot be reached the page waits for it.
async function known() {
  for (;;) {
    try {
      return await ask("model");
    } catch (error) {
      await new Promise((again) => showProblem(readable(error), again));
      $("answer").hidden = true;
    }
  }
}

function startForm(form, model) {
  let shown = 0;
  const controls = [...form.querySelectorAll("[data-kind]")];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form, controls, model);
  });
  form.addEventListener("reset", () => {
    controls.forEach((control) => complain(control, ""));
    $("answer").hidden = true;
    setTimeout(() => controls.forEach(warnBeyond)); // the browser empties the fields after this event
  });
  controls.forEach((control) => control.addEventListener("change", () => {
    complain(control, "");
    warnBeyond(control);
  }));
  form.querySelector("[type=submit]").disabled = false;
  model.then(({ input_example: examples }) => {
    const button = $("example");
    button?.addEventListener("click", () => {
      fill(form, controls, examples[shown++ % examples.length]);
      $("answer").hidden = true;
    });
    if (button) button.disabled = false;
  });
}

async function submit(form, controls, model) {
  controls.forEach((control) => complain(control, ""));
  $("answer").hidden = true;
  const missing = controls.filter((control) => control.required && !control.value.trim());
  if (missing.length) {
    missing.forEach((control) => complain(control, control.dataset.kind === "choice" ? "Please choose." : "Please fill this in."));
    missing[0].focus();
    return;
  }
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  try {
    const answer = await ask("predict", JSON.stringify({ rows: [row(form, controls)] }), "application/json");
    showAnswer(answer, await model);
  } catch (error) {
    const elsewhere = error instanceof Refused ? blame(controls, error.errors) : null;
    if (elsewhere === null || elsewhere.length) showProblem(readable(error, elsewhere), error instanceof Unreachable ? () => submit(form, controls, model) : null);
  } finally {
    button.disabled = false;
  }
}

function row(form, controls) {
  if (form.dataset.shape === "single") return value(controls[0]);
  if (form.dataset.shape === "list") return controls.map(value);
  return Object.fromEntries(controls.map((control) => [control.dataset.name, value(control)]));
}

// What cannot be read as a number stays text, which the server refuses with a reason; so does 1,234, which is two numbers.
function value(control) {
  const text = control.value;
  const trimmed = text.trim();
  if (!trimmed) return null;
  const kind = control.dataset.kind;
  if (kind === "choice" || kind === "json") return parsed(text);
  if (kind === "time") return trimmed;
  if (kind === "text") return text;
  const plain = /^[+-]?\d+,(\d{1,2}|\d{4,})$/.test(trimmed) && kind === "number" ? trimmed.replace(",", ".") : trimmed.replace(/(?<=\d)[\s_](?=\d{3})/g, "");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : trimmed;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function fill(form, controls, example) {
  const values = form.dataset.shape === "named" ? controls.map((control) => example[control.dataset.name])
    : form.dataset.shape === "list" ? example : [example];
  controls.forEach((control, place) => {
    const given = values[place];
    const json = control.dataset.kind === "choice" || typeof given === "object";
    control.value = given === null || given === undefined ? "" : json ? JSON.stringify(given) : String(given);
    if (control.dataset.kind === "choice" && control.selectedIndex < 0) control.add(new Option(given, json ? JSON.stringify(given) : given, true, true)); // too rare to be offered
    complain(control, "");
    warnBeyond(control);
  });
}

// Marks the fields that errors name; the errors that name none are left.
function blame(controls, errors) {
  const found = errors.map((error) => controls.find((control) => control.dataset.name === error.column));
  found.forEach((control, place) => control && complain(control, `Expected ${errors[place].expected}, got ${errors[place].got}.`));
  found.find(Boolean)?.focus();
  return errors.filter((_, place) => !found[place]);
}

function complain(control, text) {
  $(control.id.replace("f", "e")).textContent = text;
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}

function warnBeyond(control) {
  if (!("minimum" in control.dataset)) return;
  const number = value(control);
  const beyond = typeof number === "number" && (number < Number(control.dataset.minimum) || number > Number(control.dataset.maximum));
  const hint = $(control.id.replace("f", "h"));
  hint.dataset.range ??= hint.textContent;
  hint.textContent = beyond ? `Beyond what the model has seen: ${hint.dataset.range}` : hint.dataset.range;
  hint.classList.toggle("beyond", beyond);
}

start();
