// A list in CSV: the server scores it; here it is shown in short and offered back.
import { ask, readable, Unreachable } from "./ask.js";
import { element, problem } from "./answer.js";

const MOST_SHOWN = 20;
const MOST_OWN = 3;
const MOST_REASONS = 10;
const MOST_COUNTED = 6;
const ADDED = /^(prediction|probability|sure$)/;

export function startLists() {
  const input = document.getElementById("csv");
  input.addEventListener("change", () => {
    if (input.files[0]) score(input.files[0]);
    input.value = "";
  });
}

async function score(file) {
  show(element("p", {}, `Scoring ${file.name} …`));
  try {
    const table = await ask("predict/csv", await file.arrayBuffer(), "text/csv");
    show(...scored(await table.text(), download(table, file.name)));
  } catch (error) {
    show(...problem(readable(error), error instanceof Unreachable ? () => score(file) : null));
  }
}

function scored(text, saved) {
  const [header, ...rows] = parse(text);
  const last = header.length - 1;
  const refused = rows.map((row, place) => [place + 1, row[last]]).filter(([, reason]) => reason);
  const answered = rows.length - refused.length;
  const summary = `${answered} of ${rows.length} ${rows.length === 1 ? "row has" : "rows have"} an answer${refused.length ? `, ${refused.length} ${refused.length === 1 ? "was" : "were"} refused` : ""}.`;
  return [
    element("p", { class: "verdict" }, summary),
    ...counts(header, rows),
    saved,
    ...(refused.length ? [reasons(refused)] : []),
    ...(answered ? [table(header, rows)] : []),
  ];
}

// How often each answer was given, where there are only a few.
function counts(header, rows) {
  const place = header.lastIndexOf("prediction");
  const found = new Map();
  for (const row of rows) if (row[place]) found.set(row[place], (found.get(row[place]) ?? 0) + 1);
  if (place < 0 || !found.size || found.size > MOST_COUNTED) return [];
  return [element("p", {}, [...found].sort().map(([answer, count]) => `${answer}: ${count}`).join(", "))];
}

function download(table, name) {
  const link = element("a", { class: "button", href: URL.createObjectURL(table), download: `${name.replace(/\.[^.]*$/, "")}-answers.csv` });
  link.append("Save the list with its answers");
  return element("p", { class: "row" }, link);
}

function reasons(refused) {
  const list = element("ul");
  for (const [place, reason] of refused.slice(0, MOST_REASONS)) list.append(element("li", {}, `Row ${place}: ${reason}`));
  if (refused.length > MOST_REASONS) list.append(element("li", {}, `and ${refused.length - MOST_REASONS} more; the saved list has every reason.`));
  return element("div", {}, element("h3", {}, "Refused rows"), list);
}

function table(header, rows) {
  const last = header.length - 1;
  let first = last; // the server adds its columns at the end
  while (first > 0 && ADDED.test(header[first - 1])) first--;
  const added = header.map((_, place) => place).filter((place) => place >= first && place < last);
  const own = header.map((_, place) => place).filter((place) => place < first).slice(0, MOST_OWN);
  const made = element("table", {}, element("caption", {}, `The first ${Math.min(MOST_SHOWN, rows.length)} rows, in short`));
  const head = element("tr", {}, element("th", { scope: "col" }, "Row"), ...[...own, ...added].map((place) => element("th", { scope: "col" }, header[place])));
  made.append(element("thead", {}, head));
  const body = element("tbody");
  rows.slice(0, MOST_SHOWN).forEach((row, number) => {
    body.append(element("tr", {}, element("td", {}, String(number + 1)), ...own.map((place) => element("td", { class: "own" }, row[place])),
      ...(row[last] ? [element("td", { colspan: String(added.length) }, "refused")] : added.map((place) => element("td", {}, short(row[place]))))));
  });
  made.append(body);
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The first rows with their answers" }, made);
}

function short(text) {
  if (!/^-?\d*[.,]\d{4,}(e-?\d+)?$/.test(text)) return text;
  const precise = Number(text.replace(",", ".")).toPrecision(3);
  return text.includes(",") ? precise.replace(".", ",") : precise;
}

function show(...parts) {
  document.getElementById("scored").replaceChildren(...parts);
}

// CSV as the server writes it, by RFC 4180, with the delimiter that the first line has most of outside quotation marks.
export function parse(text) {
  const line = text.slice(0, text.search(/\r?\n|$/)).replace(/"(?:[^"]|"")*"/g, "");
  const delimiter = [",", ";", "\t"].reduce((best, next) => (line.split(next).length > line.split(best).length ? next : best));
  const rows = [];
  let row = [];
  const cell = new RegExp(`("(?:[^"]|"")*"|[^${delimiter}\\r\\n]*)(${delimiter}|\\r?\\n|$)`, "y");
  while (cell.lastIndex < text.length) {
    const [, content, end] = cell.exec(text);
    row.push(content.startsWith('"') ? content.slice(1, -1).replaceAll('""', '"') : content);
    if (end !== delimiter) {
      rows.push(row);
      row = [];
    }
  }
  return rows;
}
