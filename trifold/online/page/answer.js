// Shows an answer in plain words, with its certainty as bars, and problems where the answer would be.

const MOST_BARS = 6;

// An element with attributes and children; texts are only ever put in as text.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function showAnswer(answer, model) {
  const outputs = answer.probabilities === undefined ? [] : [answer.probabilities[0]].flat();
  const given = answer.predictions[0];
  const several = Array.isArray(given);
  const parts = several
    ? given.map((value, place) => one(value, outputs[place], model, names(model)[place])) : [one(given, outputs[0], model, null)];
  const unlike = answer.like_training?.[0] === false;
  if (unlike) {
    parts.unshift(element("p", { class: "warning" }, element("strong", {}, "This picture is unlike those the model learnt from. "), "Do not rely on the answer below."));
  }
  show(parts.flat(), unlike ? "unlike" : parts.some((part) => part.unsure) ? "unsure" : "");
}

export function showProblem(lines, again = null) {
  show(problem(lines, again), "problem", "No answer");
}

// What is wrong, in words; `again`: what a button does that tries once more.
export function problem([title, ...lines], again = null) {
  const parts = [element("p", { class: "verdict" }, title), ...lines.map((line) => element("p", {}, line))];
  if (again) {
    const button = element("button", { type: "button" }, "Try again");
    button.addEventListener("click", again, { once: true });
    parts.push(button);
  }
  return parts;
}

export function busy(words) {
  show([element("p", {}, words)], "", "Answer", false);
}

function show(parts, state, title = "Answer", focus = true) {
  const region = document.getElementById("answer");
  region.className = state;
  region.querySelector("h2").textContent = title;
  region.querySelector("div").replaceChildren(...parts);
  region.hidden = false;
  if (focus) {
    region.focus({ preventScroll: true });
    region.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
}

// One output's answer; the list says whether the model is unsure.
function one(value, probabilities, model, name) {
  const parts = name === null ? [] : [element("h3", {}, name)];
  const profile = model.profile ?? {};
  if (!probabilities) {
    parts.push(element("p", { class: "verdict" }, words(value, profile)));
    if (typeof value === "number" && profile.interval) {
      parts.push(element("p", {}, `Likely between ${number(value - profile.interval)} and ${number(value + profile.interval)}${unit(profile)}.`));
    }
    return parts;
  }
  const label = Object.keys(probabilities).find((key) => key === String(value) || (typeof value === "number" && Number(key) === value));
  const certainty = probabilities[label];
  parts.unsure = typeof profile.threshold === "number" && certainty < profile.threshold;
  parts.push(element("p", { class: "verdict" }, parts.unsure ? "The model is not sure." : words(label, profile)));
  parts.push(element("p", {}, parts.unsure
    ? `It leans towards “${plain(label, profile)}” with ${percent(certainty)}, and says so only from ${percent(profile.threshold)} on.`
    : `The model is ${percent(certainty)} certain.`));
  parts.push(bars(probabilities, label, profile));
  return parts;
}

function bars(probabilities, chosen, profile) {
  const shown = Object.entries(probabilities).sort(([, one], [, other]) => other - one).slice(0, MOST_BARS);
  const list = element("dl", { class: "bars" });
  for (const [label, share] of shown) {
    const mark = label === chosen ? " chosen" : "";
    const fill = element("i");
    fill.style.width = `${100 * share}%`;
    const bar = element("dd", { class: `bar${mark}`, "aria-hidden": "true" }, fill);
    list.append(element("dt", { class: mark.trim() }, plain(label, profile)), bar, element("dd", {}, percent(share)));
  }
  return list;
}

function words(value, profile) {
  if (typeof value === "number" && !profile.classes?.[String(value)]) return number(value) + unit(profile);
  return profile.classes?.[String(value)] ?? String(value);
}

// Without the full stop, to stand in a sentence or beside a bar.
function plain(label, profile) {
  return (profile.classes?.[label] ?? label).replace(/\.$/, "");
}

function unit(profile) {
  return profile.unit ? ` ${profile.unit}` : "";
}

export function number(value) {
  return new Intl.NumberFormat(undefined, { maximumSignificantDigits: Math.abs(value) >= 1000 ? 6 : 4 }).format(value);
}

// Never 100 % or 0 %, which no model knows.
export function percent(share) {
  if (share > 0.99) return "over 99 %";
  return share < 0.01 ? "under 1 %" : `${Math.round(100 * share)} %`;
}

function names(model) {
  return (model.signature.outputs ?? []).map((output, place) => output.name ?? `Answer ${place + 1}`);
}
