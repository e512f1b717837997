/* A run, opened in a dialog. */
const dialog = $("#run");

function facts(pairs) {
  return make("dl", { className: "facts" }, ...pairs.map(([name, value]) =>
    make("div", { className: String(value).length > 45 ? "wide" : "" }, make("dt", {}, name), make("dd", {}, String(value)))));
}

function curve(name, points) {
  const x = scale(points.map(([step]) => step), WHOLE.left, WHOLE.right, false);
  const y = scale(points.map(([, value]) => value), WHOLE.bottom, WHOLE.top, false);
  const svg = axes(x, y, "step", name, `${name}: from ${short(points[0][1])} to ${short(points.at(-1)[1])}`, WHOLE);
  svg.append(draw("polyline", { class: "curve", points: points.map(([step, value]) => `${x.place(step).toFixed(1)},${y.place(value).toFixed(1)}`).join(" ") }));
  if (points.length <= 12) {
    svg.append(...points.map(([step, value]) => draw("circle", { class: "curve-point", cx: x.place(step), cy: y.place(value), r: 4 })));
  }
  return make("figure", {}, svg, make("figcaption", {}, name));
}

function confusion({ labels, counts, frequent }) {
  const name = frequent ? "Most frequent confusions" : "Confusion matrix";
  if (frequent) return [make("h3", {}, name), table(name, ["reference", "prediction", "times"], frequent)];
  const lines = counts.map((row, index) => {
    const most = Math.max(1, row.reduce((sum, count) => sum + count, 0));
    return [make("th", { scope: "row", "data-sort": labels[index] }, labels[index]), ...row.map((count) => {
      const cell = make("td", { className: "heat", "data-sort": String(count) }, String(count));
      cell.style.setProperty("--share", (0.6 * count / most).toFixed(3));
      return cell;
    })];
  });
  return [make("h3", {}, name), table(name, ["reference ↓ prediction →", ...labels], lines)];
}

function openRun(run) {
  const close = make("button", { className: "close", type: "button", onclick: () => dialog.close() }, "Close");
  const parts = [
    make("div", { className: "top" }, make("div", {}, make("h2", { id: "run-title" }, run.title),
      make("p", {}, run.subtitle)), close),
    facts(run.facts),
  ];
  const columns = [...new Set(Object.values(run.metrics).flatMap(Object.keys))];
  if (columns.length) {
    parts.push(make("h3", {}, "Scores"), table("Scores", ["split", ...columns],
      Object.entries(run.metrics).map(([split, scores]) => [split, ...columns.map((name) => scores[name] ?? "–")])));
  }
  const curves = Object.entries(run.curves).filter(([, points]) => points.length > 1);
  if (curves.length) {
    parts.push(make("h3", {}, "Curves"), make("div", { className: "grid" }, ...curves.map(([name, points]) => curve(name, points))));
  }
  if (run.report.length) {
    const header = ["label", "precision", "recall", "f1", "support"];
    parts.push(make("h3", {}, "By label"), table("By label", header, run.report.map((row) => header.map((name) => row[name]))));
  }
  if (run.confusion) parts.push(...confusion(run.confusion));
  if (run.errors) {
    parts.push(make("h3", {}, "Errors"), make("p", { className: "note" }, run.errors.summary));
    if (run.errors.rows.length) parts.push(exampleTable("Errors", run.errors.rows));
  }
  parts.push(make("h3", {}, "Configuration"), make("pre", { tabIndex: 0 }, run.configuration));
  dialog.replaceChildren(...parts);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  address({ run: run.key });
}
for (const button of $$("button.run")) button.addEventListener("click", () => openRun(content.runs[button.dataset.run]));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => address({ run: "" }));
addEventListener("hashchange", restore);

restore();
