"use strict";

const $ = (selector, parent = document) => parent.querySelector(selector);
const $$ = (selector, parent = document) => [...parent.querySelectorAll(selector)];
const say = (text) => { $("#status").textContent = text; };
const content = JSON.parse($("#data").textContent);

/* Everything that comes from a record enters the page as text, never as markup. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value; else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/* Sorting: a missing value stays last in either direction. */
function sort(header) {
  const row = header.parentElement;
  const column = [...row.children].indexOf(header);
  const other = { ascending: "descending", descending: "ascending" };
  const direction = other[header.getAttribute("aria-sort")] ?? header.dataset.first;
  for (const sibling of $$("[aria-sort]", row)) sibling.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  const number = header.dataset.type === "number";
  const key = (line) => line.children[column].dataset.sort;
  const body = header.closest("table").tBodies[0];
  const lines = [...body.rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (number ? x - y : x.localeCompare(y));
  });
  body.append(...lines);
  body.classList.toggle("by-tier", column === 0 && direction === "ascending");
  say(`Sorted by ${header.textContent.trim()}, ${direction}`);
}
const sortable = (header) => $("button", header).addEventListener("click", () => sort(header));
$$("th[aria-sort]").forEach(sortable);

/* A table of plain values whose columns sort. */
function table(label, header, lines, className = "") {
  const cell = (value) => value instanceof Node ? value : make("td", { "data-sort": String(value) }, String(value));
  const head = header.map((name, column) => {
    const numbers = lines.every((line) => line[column] instanceof Node || typeof line[column] === "number" || !isNaN(line[column]));
    return make("th", { scope: "col", "aria-sort": "none", "data-type": numbers ? "number" : "text", "data-first": "ascending" },
      make("button", { type: "button" }, name));
  });
  const element = make("table", { className }, make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...lines.map((line) => make("tr", {}, ...line.map(cell)))));
  head.forEach(sortable);
  return make("div", { className: "frame", tabIndex: 0, role: "region", "aria-label": label }, element);
}

/* An input: stretches of text, and what they are. */
function marked(parts) {
  const text = parts.map(([words]) => words).join(" ");
  return make("td", { className: "input", "data-sort": text }, ...parts.flatMap(([words, label]) =>
    label ? [make("mark", { title: label }, words, make("small", {}, label)), " "] : [`${words} `]));
}

function exampleTable(label, rows) {
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const cell = (value) => Array.isArray(value) ? marked(value) : value ?? "";
  return table(label, columns, rows.map((row) => columns.map((name) => cell(row[name]))), "errors");
}

/* Filters and the open run are in the address, so that a view can be sent. */
const fields = { method: $("#filter-method"), task: $("#filter-task"), model: $("#filter-model") };
const complete = $("#filter-complete");

function address(changes) {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(changes)) {
    if (value) state.set(name, value); else state.delete(name);
  }
  history.replaceState(null, "", `#${state}`);
}

function filter() {
  const words = fields.method.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const [task, model] = [fields.task.value, fields.model.value];
  let [shown, all] = [0, 0];
  for (const section of $$("main section")) {
    let visible = 0;
    for (const line of $$("tbody tr[data-method]", section)) {
      const method = line.dataset.method.toLowerCase();
      line.hidden = (words.length > 0 && !words.some((word) => method.includes(word)))
        || (complete.checked && line.classList.contains("incomplete"));
      visible += !line.hidden;
    }
    const chosen = (!model || section.dataset.model === model) && (!task || section.dataset.task === task);
    section.hidden = !chosen || visible === 0;
    if (section.classList.contains("board")) {
      all += $$("tbody tr[data-method]", section).length;
      shown += section.hidden ? 0 : visible;
    }
  }
  $("#nothing").hidden = shown > 0 || all === 0;
  say(`${shown} of ${all} rows`);
}

function changed() {
  address({ method: fields.method.value, task: fields.task.value, model: fields.model.value, complete: complete.checked ? "1" : "" });
  filter();
}

function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const [name, field] of Object.entries(fields)) field.value = state.get(name) ?? "";
  for (const field of [fields.task, fields.model]) if (field.selectedIndex < 0) field.value = "";
  complete.checked = state.get("complete") === "1";
  filter();
  const run = content.runs.find(({ key }) => key === state.get("run"));
  if (run) openRun(run); else if ($("#run").open) $("#run").close();
}
for (const event of ["input", "change"]) $(".tools").addEventListener(event, changed);
$(".tools").addEventListener("submit", (event) => event.preventDefault());
$("#clear").addEventListener("click", () => {
  for (const field of Object.values(fields)) field.value = "";
  complete.checked = false;
  changed();
});

/* Downloads */
function download(name, type, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}
/* A spreadsheet takes a cell that begins like a formula for one. */
const csvCell = (value) => `"${String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
const csv = (lines) => lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
$("#download-json").addEventListener("click", () =>
  download("leaderboard.json", "application/json", JSON.stringify(content.boards, null, 2)));
