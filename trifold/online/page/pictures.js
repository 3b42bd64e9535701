// A picture: chosen, taken, dropped, pasted or one of the samples.
import { ask, readable, Unreachable } from "./ask.js";
import { busy, showAnswer, showProblem } from "./answer.js";

const $ = (id) => document.getElementById(id);

export function startPictures(model) {
  const drop = $("drop");
  const take = (file) => file && look(() => file, model);
  for (const input of $("picture").querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      take(input.files[0]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(event, (moved) => {
      moved.preventDefault();
      drop.classList.toggle("over", over);
    });
  }
  drop.addEventListener("drop", (event) => take(event.dataTransfer.files[0]));
  document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => look(() => sample(button), model));
    button.disabled = false;
  }
}

async function sample(button) {
  const blob = await ask(button.dataset.sample);
  return new File([blob], button.textContent.trim(), { type: blob.type });
}

let latest = 0;

// What was chosen last counts, not what arrives last: an earlier picture, or its answer, may come after it.
async function look(choose, model) {
  const mine = ++latest;
  try {
    const file = await choose();
    if (mine !== latest) return;
    preview(file);
    busy("The model looks at the picture …");
    const form = new FormData();
    form.append("image", file, "picture");
    const answer = await ask("predict/image", form);
    const known = await model;
    if (mine === latest) showAnswer(answer, known);
  } catch (error) {
    if (mine === latest) showProblem(readable(error), error instanceof Unreachable ? () => look(choose, model) : null);
  }
}

function preview(file) {
  const figure = $("preview");
  const image = figure.querySelector("img");
  URL.revokeObjectURL(image.src);
  image.hidden = false;
  image.onerror = () => { image.hidden = true; };
  image.src = URL.createObjectURL(file);
  image.alt = `The picture you chose: ${file.name}`;
  figure.querySelector("figcaption").textContent = file.name;
  figure.hidden = false;
}
