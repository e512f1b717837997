/* Score against cost, and loss curves, drawn from the numbers of a board. */
const SHAPES = {
  circle: (x, y, r) => draw("circle", { cx: x, cy: y, r }),
  square: (x, y, r) => draw("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
  diamond: (x, y, r) => draw("path", { d: `M${x} ${y - 1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}z` }),
  up: (x, y, r) => draw("path", { d: `M${x} ${y - 1.2 * r}l${1.2 * r} ${2.2 * r}h${-2.4 * r}z` }),
  plus: (x, y, r) => draw("path", { d: `M${x - 0.5 * r} ${y - 1.2 * r}h${r}v${0.7 * r}h${0.7 * r}v${r}h${-0.7 * r}v${0.7 * r}h${-r}v${-0.7 * r}h${-0.7 * r}v${-r}h${0.7 * r}z` }),
  bar: (x, y, r) => draw("rect", { x: x - 1.3 * r, y: y - 0.6 * r, width: 2.6 * r, height: 1.2 * r }),
  down: (x, y, r) => draw("path", { d: `M${x} ${y + 1.2 * r}l${1.2 * r} ${-2.2 * r}h${-2.4 * r}z` }),
};
const COLOURS = 10;
const names = [...new Set(content.boards.flatMap(({ methods }) => methods.map(({ name }) => name)))].sort();
const colour = (name) => `series-${names.indexOf(name) % COLOURS}`;
const mark = (name, x, y, r = 5) => {
  const shapes = Object.values(SHAPES);
  const shape = shapes[names.indexOf(name) % shapes.length](x, y, r);
  shape.setAttribute("class", `mark ${colour(name)}`);
  return shape;
};
/* The sizes of a picture, and where its axes are. */
const box = (width, height, left, right, top, bottom) => ({ width, height, left, right: width - right, top, bottom: height - bottom });
const WHOLE = box(560, 320, 62, 16, 12, 42);
const PANEL = box(250, 150, 38, 8, 8, 24);

function short(value) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return String(Number(value.toPrecision(3)));
}

/* A scale with round ticks; logarithmic where positive values span more than a factor of 20. */
function scale(values, from, to, logarithmic) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const positive = values.filter((value) => value > 0);
  const least = Math.min(...positive);
  const log = logarithmic && positive.length > 0 && high > 20 * least;
  const zero = log && low <= 0;
  const f = (value) => log ? (value > 0 ? Math.log10(value) : Math.log10(least) - 0.6) : value;
  if (!log && low === high) [low, high] = [low - 0.5 * Math.abs(low || 1), high + 0.5 * Math.abs(high || 1)];
  const pad = 0.05 * (f(high) - f(low));
  const [a, b] = [f(low) - pad, f(high) + pad];
  const place = (value) => from + (to - from) * (f(value) - a) / (b - a);
  let ticks = [];
  if (log) {
    const between = (factors) => factors.flatMap((factor) => {
      const found = [];
      for (let power = Math.floor(Math.log10(least)); power <= Math.log10(high); power += 1) found.push(Number((factor * 10 ** power).toPrecision(3)));
      return found.filter((tick) => tick >= least * (1 - 1e-9) && tick <= high * (1 + 1e-9));
    });
    ticks = between([1]);
    if (ticks.length < 3) ticks = between([1, 3]);
    ticks.sort((one, other) => one - other);
    if (zero) ticks.unshift(0);
  } else {
    const raw = (high - low) / 4;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((candidate) => candidate >= raw);
    for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9 * step; tick += step) ticks.push(Number(tick.toPrecision(6)));
  }
  return { place, ticks };
}

function axes(x, y, xName, yName, label, { width, height, left, right, top, bottom }) {
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const tick of y.ticks) {
    svg.append(draw("line", { class: "grid-line", x1: left, x2: right, y1: y.place(tick), y2: y.place(tick) }),
      draw("text", { x: left - 8, y: y.place(tick) + 4, class: "end" }, short(tick)));
  }
  for (const tick of x.ticks) {
    svg.append(draw("line", { class: "grid-line", x1: x.place(tick), x2: x.place(tick), y1: top, y2: bottom }),
      draw("text", { x: x.place(tick), y: bottom + 16, class: "middle" }, short(tick)));
  }
  if (xName) svg.append(draw("text", { x: (left + right) / 2, y: height - 6, class: "middle" }, xName));
  if (yName) svg.append(draw("text", { transform: `translate(14 ${(top + bottom) / 2}) rotate(-90)`, class: "middle" }, yName));
  return svg;
}

/* Where a method is on an axis; of the score with its interval. */
const at = (method, axis, board) => axis === board.metric ? method.mean : method.costs[axis];
const better = (axis, board) => axis === board.metric && board.greaterIsBetter ? -1 : 1;

function scatter(board, xAxis, yAxis) {
  const methods = board.methods.filter((m) => at(m, xAxis, board) !== null && at(m, yAxis, board) !== null);
  if (!methods.length) return make("p", { className: "note" }, "No run has finished.");
  const range = (axis) => axis === board.metric ? board.window : methods.map((m) => m.costs[axis]);
  const { left, right, top, bottom } = WHOLE;
  const x = scale(range(xAxis), left, right, xAxis !== board.metric);
  const y = scale(range(yAxis), bottom, top, yAxis !== board.metric);
  const svg = axes(x, y, xAxis, yAxis, `${yAxis} against ${xAxis} of ${methods.length} methods`, WHOLE);
  /* A score beyond the window is at the edge, with an arrow. */
  const across = (value) => Math.min(Math.max(x.place(value), left + 6), right - 6);
  const up = (value) => Math.min(Math.max(y.place(value), top + 6), bottom - 6);
  const arrow = (value, low, high) => value < board.window[0] ? low : value > board.window[1] ? high : "";
  if (board.baseline && yAxis === board.metric) {
    const level = y.place(board.baseline.score);
    if (level >= top && level <= bottom) {
      svg.append(draw("line", { class: "baseline", x1: left, x2: right, y1: level, y2: level },
        draw("title", {}, `${board.baseline.answer} for every example: ${short(board.baseline.score)}`)));
    }
  }
  const key = (m) => [better(xAxis, board) * at(m, xAxis, board), better(yAxis, board) * at(m, yAxis, board)];
  const front = [];
  for (const m of methods.filter(({ complete }) => complete).sort((a, b) => key(a)[0] - key(b)[0] || key(a)[1] - key(b)[1])) {
    if (!front.length || key(m)[1] < key(front.at(-1))[1]) front.push(m);
  }
  svg.append(draw("polyline", { class: "front",
    points: front.map((m) => `${across(at(m, xAxis, board))},${up(at(m, yAxis, board))}`).join(" ") }));
  for (const m of methods) {
    const [px, py] = [across(at(m, xAxis, board)), up(at(m, yAxis, board))];
    const group = draw("g", { tabindex: 0, class: m.complete ? "point" : "point hollow" });
    const ends = m.interval && (yAxis === board.metric
      ? { x1: px, x2: px, y1: up(m.interval[0]), y2: up(m.interval[1]) }
      : xAxis === board.metric && { x1: across(m.interval[0]), x2: across(m.interval[1]), y1: py, y2: py });
    if (ends) group.append(draw("line", { class: `whisker ${colour(m.name)}`, ...ends }));
    group.append(draw("title", {}, `${m.name}\n${yAxis}: ${short(at(m, yAxis, board))}\n${xAxis}: ${short(at(m, xAxis, board))}${m.complete ? "" : "\nincomplete"}`),
      mark(m.name, px, py));
    if (yAxis === board.metric && arrow(m.mean, "↓", "↑")) group.append(draw("text", { x: px + 9, y: py + 4 }, arrow(m.mean, "↓", "↑")));
    if (xAxis === board.metric && arrow(m.mean, "←", "→")) group.append(draw("text", { x: px, y: py - 9, class: "middle" }, arrow(m.mean, "←", "→")));
    svg.append(group);
  }
  return svg;
}

/* One panel per method: its mean loss, with a band from its least to its greatest seed, over the means of the others. */
function losses(board) {
  const methods = board.methods.map((m) => {
    const curves = m.losses.filter((points) => points.length > 1);
    const steps = curves.length ? curves[0].map(([step]) => step) : [];
    const values = steps.map((step) => curves.map((points) => points.find(([other]) => other === step)?.[1]).filter((value) => value !== undefined));
    return { name: m.name, steps, low: values.map((v) => Math.min(...v)), high: values.map((v) => Math.max(...v)),
      mean: values.map((v) => v.reduce((sum, value) => sum + value, 0) / v.length) };
  }).filter(({ steps }) => steps.length > 1);
  if (!methods.length) return null;
  const x = scale(methods.flatMap(({ steps }) => steps), PANEL.left, PANEL.right, false);
  const y = scale(methods.flatMap(({ low, high }) => [...low, ...high]), PANEL.bottom, PANEL.top, true);
  const line = (steps, values) => steps.map((step, i) => `${x.place(step).toFixed(1)},${y.place(values[i]).toFixed(1)}`);
  return make("div", { className: "panels" }, ...methods.map((m) => {
    const course = `from ${short(m.mean[0])} at step ${m.steps[0]} to ${short(m.mean.at(-1))} at step ${m.steps.at(-1)}`;
    const svg = axes(x, y, "", "", `training loss of ${m.name}, mean over seeds: ${course}`, PANEL);
    for (const other of methods) {
      if (other !== m) svg.append(draw("polyline", { class: "other", points: line(other.steps, other.mean).join(" ") }));
    }
    svg.append(draw("g", { class: `loss ${colour(m.name)}` }, draw("title", {}, `${m.name}: ${course}`),
      draw("polygon", { class: "band", points: [...line(m.steps, m.high), ...line(m.steps, m.low).reverse()].join(" ") }),
      draw("polyline", { class: "mean", points: line(m.steps, m.mean).join(" ") })));
    return make("div", { className: "panel" }, make("p", { "aria-hidden": "true" }, m.name), svg);
  }));
}

function showPictures(section, board) {
  const place = $(".pictures", section);
  const known = (cost) => board.methods.filter(({ costs }) => costs[cost] !== null).length >= Math.min(2, board.methods.length);
  const choices = [board.metric, ...Object.keys(board.methods[0]?.costs ?? {}).filter(known)];
  const select = (chosen, label) => make("label", {}, `${label} `, make("select", {},
    ...choices.map((name) => make("option", { value: name, selected: name === chosen }, name))));
  const [xChoice, yChoice] = [select(choices[1], "x axis"), select(choices[0], "y axis")];
  const frame = make("div", {});
  const update = () => frame.replaceChildren(scatter(board, $("select", xChoice).value, $("select", yChoice).value));
  for (const choice of [xChoice, yChoice]) choice.addEventListener("change", update);
  update();
  const legend = make("ul", { className: "legend", "aria-label": "Methods in the pictures" }, ...board.methods.map(({ name }) =>
    make("li", {}, draw("svg", { viewBox: "0 0 14 14", class: "key", "aria-hidden": "true" }, mark(name, 7, 7, 4)), name)));
  const loss = losses(board);
  place.append(legend, make("div", { className: "grid wide-grid" },
    make("figure", {}, make("div", { className: "axis-choice" }, yChoice, xChoice), frame,
      make("figcaption", {}, "The dotted line joins the methods that no complete method beats in both; hollow: incomplete; arrow: the score is beyond the picture")),
    ...loss ? [make("figure", { className: "losses" }, loss,
      make("figcaption", {}, "Training loss over steps: the mean over seeds, and a band from the least to the greatest; grey: the other methods"))] : []));
}

for (const section of $$("section.board")) {
  const board = content.boards[section.dataset.board];
  showPictures(section, board);
  $(".download-csv", section).addEventListener("click", () => download(`${board.title}.csv`, "text/csv", csv(board.table)));
  const examples = $(".examples", section);
  examples?.addEventListener("toggle", () => {
    if (examples.children.length > 1) return;
    examples.append(make("p", { className: "note" }, board.examples.summary));
    if (board.examples.rows.length) examples.append(exampleTable("Disagreements", board.examples.rows));
  });
}
