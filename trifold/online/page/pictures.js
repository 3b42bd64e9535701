// A picture: chosen, taken, dropped, pasted or one of the samples.
import { ask, readable, Unreachable } from "./ask.js";
import { busy, showAnswer, showProblem } from "./answer.js";

const $ = (id) => document.getElementById(id);

export function startPictures(model) {
  const drop = $("drop");
  const take = (file) => file && look(file, file.name, model);
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
    button.addEventListener("click", async () => {
      try {
        const response = await fetch(button.dataset.sample);
        const blob = await response.blob();
        take(new File([blob], button.textContent.trim(), { type: blob.type }));
      } catch {
        showProblem(readable(new Unreachable()), () => button.click());
      }
    });
    button.disabled = false;
  }
}

let latest = 0;

async function look(file, name, model) {
  const mine = ++latest; // an answer to an earlier picture would stand below this one
  preview(file, name);
  busy("The model looks at the picture …");
  const form = new FormData();
  form.append("image", file, "picture");
  try {
    const answer = await ask("predict/image", form);
    const known = await model;
    if (mine === latest) showAnswer(answer, known);
  } catch (error) {
    if (mine === latest) showProblem(readable(error), error instanceof Unreachable ? () => look(file, name, model) : null);
  }
}

function preview(file, name) {
  const figure = $("preview");
  const image = figure.querySelector("img");
  URL.revokeObjectURL(image.src);
  image.hidden = false;
  image.onerror = () => { image.hidden = true; };
  image.src = URL.createObjectURL(file);
  image.alt = `The picture you chose: ${name}`;
  figure.querySelector("figcaption").textContent = name;
  figure.hidden = false;
}
