"use strict";

const $ = (selector, parent = document) => parent.querySelector(selector);
const $$ = (selector, parent = document) => [...parent.querySelectorAll(selector)];
const say = (text) => { $("#status").textContent = text; };

/* Everything that comes from a record enters the page as text, never as markup. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value; else element.setAttribute(name, value);
  }
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
for (const header of $$("th[aria-sort]")) $("button", header).addEventListener("click", () => sort(header));

/* Filtering */
function filter() {
  const words = $("#filter-method").value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const [task, model] = [$("#filter-task").value, $("#filter-model").value];
  const whole = $("#filter-complete").checked;
  let [shown, all] = [0, 0];
  for (const section of $$("main section")) {
    let visible = 0;
    for (const line of $$("tbody tr", section)) {
      const method = line.dataset.method.toLowerCase();
      line.hidden = (words.length > 0 && !words.some((word) => method.includes(word)))
        || (whole && line.classList.contains("incomplete"));
      visible += !line.hidden;
    }
    const chosen = (!model || section.dataset.model === model)
      && (!task || section.dataset.task === task);
    section.hidden = !chosen || visible === 0;
    if (section.classList.contains("board")) {
      all += $$("tbody tr", section).length;
      shown += section.hidden ? 0 : visible;
    }
  }
  say(`${shown} of ${all} rows`);
}
for (const event of ["input", "change"]) $(".tools").addEventListener(event, filter);
$(".tools").addEventListener("submit", (event) => event.preventDefault());

/* Runs */
const dialog = $("#run");
const runs = JSON.parse($("#runs").textContent);

function table(label, header, lines, className = "") {
  const cells = (line, tag) => make("tr", {}, ...line.map((cell) =>
    cell instanceof Node ? cell : make(tag, tag === "th" ? { scope: "col" } : {}, String(cell))));
  const element = make("table", { className }, make("thead", {}, cells(header, "th")),
    make("tbody", {}, ...lines.map((line) => cells(line, "td"))));
  return make("div", { className: "frame", tabIndex: 0, role: "region", "aria-label": label }, element);
}

function facts(pairs) {
  return make("dl", { className: "facts" }, ...pairs.map(([name, value]) =>
    make("div", { className: String(value).length > 45 ? "wide" : "" }, make("dt", {}, name), make("dd", {}, String(value)))));
}

function curve(name, points) {
  const [width, height, left, bottom] = [360, 150, 46, 22];
  const svg = (tag, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const scale = (values, from, to) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (value) => high === low ? (from + to) / 2 : from + (to - from) * (value - low) / (high - low);
  };
  const [px, py] = [scale(xs, left, width - 8), scale(ys, height - bottom - 6, 10)];
  const label = (value) => Number(value.toPrecision(3)).toString();
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${name}: from ${label(ys[0])} to ${label(ys.at(-1))}` });
  picture.append(
    svg("path", { d: `M${left - 4} 6V${height - bottom}H${width}`, fill: "none", stroke: "var(--line)" }),
    svg("polyline", { points: points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" "),
      fill: "none", stroke: "currentColor", "stroke-width": 1.6, class: "curve" }),
    ...points.length <= 12 ? points.map(([x, y]) =>
      svg("circle", { cx: px(x), cy: py(y), r: 2.6, fill: "currentColor", class: "curve" })) : [],
  );
  const text = { fill: "var(--quiet)", "font-size": 11 };
  picture.append(
    svg("text", { ...text, x: left - 8, y: 14, "text-anchor": "end" }, label(Math.max(...ys))),
    svg("text", { ...text, x: left - 8, y: height - bottom, "text-anchor": "end" }, label(Math.min(...ys))),
    svg("text", { ...text, x: left, y: height - 6 }, `step ${xs[0]}`),
    svg("text", { ...text, x: width - 2, y: height - 6, "text-anchor": "end" }, `${xs.at(-1)}`),
  );
  return make("figure", {}, picture, make("figcaption", {}, name));
}

function confusion({ labels, counts, frequent }) {
  const name = frequent ? "Most frequent confusions" : "Confusion matrix";
  if (frequent) return [make("h3", {}, name), table(name, ["reference", "prediction", "times"], frequent)];
  const lines = counts.map((row, index) => {
    const most = Math.max(1, row.reduce((sum, count) => sum + count, 0));
    return [make("th", { scope: "row" }, labels[index]), ...row.map((count) =>
      make("td", { style: `background: rgb(var(--heat) / ${(0.6 * count / most).toFixed(3)})` }, String(count)))];
  });
  return [make("h3", {}, name), table(name, ["reference ↓ prediction →", ...labels], lines)];
}

function open(run) {
  const close = make("button", { className: "close", type: "button", onclick: () => dialog.close() }, "Close");
  const parts = [
    make("div", { className: "top" }, make("div", {}, make("h2", { id: "run-title" }, run.title),
      make("p", {}, run.subtitle)), close),
    facts(run.facts),
  ];
  const names = [...new Set(Object.values(run.metrics).flatMap(Object.keys))];
  if (names.length) {
    parts.push(make("h3", {}, "Scores"), table("Scores", ["split", ...names],
      Object.entries(run.metrics).map(([split, figures]) => [split, ...names.map((name) => figures[name] ?? "–")])));
  }
  const curves = Object.entries(run.curves).filter(([, points]) => points.length > 1);
  if (curves.length) {
    parts.push(make("h3", {}, "Curves"), make("div", { className: "grid" }, ...curves.map(([name, points]) => curve(name, points))));
  }
  if (run.report.length) {
    const columns = ["label", "precision", "recall", "f1", "support"];
    parts.push(make("h3", {}, "By label"), table("By label", columns, run.report.map((row) => columns.map((name) => row[name]))));
  }
  if (run.confusion) parts.push(...confusion(run.confusion));
  if (run.errors) {
    parts.push(make("h3", {}, "Errors"), make("p", { className: "note" }, run.errors.summary));
    const columns = [...new Set(run.errors.rows.flatMap(Object.keys))];
    if (columns.length) parts.push(table("Errors", columns, run.errors.rows.map((row) => columns.map((name) => row[name] ?? "")), "errors"));
  }
  parts.push(make("h3", {}, "Configuration"), make("pre", { tabIndex: 0 }, run.configuration));
  dialog.replaceChildren(...parts);
  dialog.showModal();
  dialog.scrollTop = 0;
}
for (const button of $$("button.run")) button.addEventListener("click", () => open(runs[button.dataset.run]));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

filter();
