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
const COLOURS = 8;
const names = [...new Set(content.boards.flatMap(({ methods }) => methods.map(({ name }) => name)))].sort();
const colour = (name) => `series-${names.indexOf(name) % COLOURS}`;
const mark = (name, x, y, r = 5) => {
  const shapes = Object.values(SHAPES);
  const shape = shapes[names.indexOf(name) % shapes.length](x, y, r);
  shape.setAttribute("class", `mark ${colour(name)}`);
  return shape;
};
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [560, 320, 62, 16, 12, 42];

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
    for (let power = Math.ceil(Math.log10(least) - 1e-9); power <= Math.log10(high) + 1e-9; power += 1) ticks.push(10 ** power);
    if (zero) ticks.unshift(0);
  } else {
    const raw = (high - low) / 4;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((candidate) => candidate >= raw);
    for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9 * step; tick += step) ticks.push(Number(tick.toPrecision(6)));
  }
  return { place, ticks };
}

function axes(x, y, xName, yName, label) {
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  for (const tick of y.ticks) {
    svg.append(draw("line", { class: "grid-line", x1: LEFT, x2: WIDTH - RIGHT, y1: y.place(tick), y2: y.place(tick) }),
      draw("text", { x: LEFT - 8, y: y.place(tick) + 4, class: "end" }, short(tick)));
  }
  for (const tick of x.ticks) {
    svg.append(draw("line", { class: "grid-line", x1: x.place(tick), x2: x.place(tick), y1: TOP, y2: HEIGHT - BOTTOM }),
      draw("text", { x: x.place(tick), y: HEIGHT - BOTTOM + 16, class: "middle" }, short(tick)));
  }
  svg.append(draw("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, class: "middle" }, xName),
    draw("text", { transform: `translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`, class: "middle" }, yName));
  return svg;
}

/* Where a method is on an axis; of the score with its interval. */
const at = (method, axis, board) => axis === board.metric ? method.mean : method.costs[axis];
const better = (axis, board) => axis === board.metric && board.greaterIsBetter ? -1 : 1;

function scatter(board, xAxis, yAxis) {
  const methods = board.methods.filter((m) => at(m, xAxis, board) !== null && at(m, yAxis, board) !== null);
  if (!methods.length) return make("p", { className: "note" }, "No run has finished.");
  const range = (axis) => methods.flatMap((m) => axis === board.metric ? [m.mean, ...(m.interval ?? [])] : [m.costs[axis]]);
  const x = scale(range(xAxis), LEFT, WIDTH - RIGHT, xAxis !== board.metric);
  const y = scale(range(yAxis), HEIGHT - BOTTOM, TOP, yAxis !== board.metric);
  const svg = axes(x, y, xAxis, yAxis, `${yAxis} against ${xAxis} of ${methods.length} methods`);
  if (board.baseline && yAxis === board.metric) {
    const level = y.place(board.baseline.score);
    if (level >= TOP && level <= HEIGHT - BOTTOM) {
      svg.append(draw("line", { class: "baseline", x1: LEFT, x2: WIDTH - RIGHT, y1: level, y2: level },
        draw("title", {}, `${board.baseline.answer} for every example: ${short(board.baseline.score)}`)));
    }
  }
  const key = (m) => [better(xAxis, board) * at(m, xAxis, board), better(yAxis, board) * at(m, yAxis, board)];
  const front = [];
  for (const m of methods.filter(({ complete }) => complete).sort((a, b) => key(a)[0] - key(b)[0] || key(a)[1] - key(b)[1])) {
    if (!front.length || key(m)[1] < key(front.at(-1))[1]) front.push(m);
  }
  svg.append(draw("polyline", { class: "front",
    points: front.map((m) => `${x.place(at(m, xAxis, board))},${y.place(at(m, yAxis, board))}`).join(" ") }));
  for (const m of methods) {
    const [px, py] = [x.place(at(m, xAxis, board)), y.place(at(m, yAxis, board))];
    const group = draw("g", { tabindex: 0, class: m.complete ? "point" : "point hollow" });
    const ends = m.interval && (yAxis === board.metric
      ? { x1: px, x2: px, y1: y.place(m.interval[0]), y2: y.place(m.interval[1]) }
      : xAxis === board.metric && { x1: x.place(m.interval[0]), x2: x.place(m.interval[1]), y1: py, y2: py });
    if (ends) group.append(draw("line", { class: `whisker ${colour(m.name)}`, ...ends }));
    group.append(draw("title", {}, `${m.name}\n${yAxis}: ${short(at(m, yAxis, board))}\n${xAxis}: ${short(at(m, xAxis, board))}${m.complete ? "" : "\nincomplete"}`),
      mark(m.name, px, py));
    svg.append(group);
  }
  return svg;
}

/* The mean loss of each method, with a band from its least to its greatest seed. */
function losses(board) {
  const methods = board.methods.map((m) => {
    const curves = m.losses.filter((points) => points.length > 1);
    const steps = curves.length ? curves[0].map(([step]) => step) : [];
    const values = steps.map((step) => curves.map((points) => points.find(([other]) => other === step)?.[1]).filter((value) => value !== undefined));
    return { name: m.name, steps, low: values.map((v) => Math.min(...v)), high: values.map((v) => Math.max(...v)),
      mean: values.map((v) => v.reduce((sum, value) => sum + value, 0) / v.length) };
  }).filter(({ steps }) => steps.length > 1);
  if (!methods.length) return null;
  const x = scale(methods.flatMap(({ steps }) => steps), LEFT, WIDTH - RIGHT, false);
  const y = scale(methods.flatMap(({ low, high }) => [...low, ...high]), HEIGHT - BOTTOM, TOP, true);
  const svg = axes(x, y, "step", "training loss", `training loss of ${methods.length} methods`);
  const line = (steps, values) => steps.map((step, i) => `${x.place(step).toFixed(1)},${y.place(values[i]).toFixed(1)}`);
  for (const m of methods) {
    const group = draw("g", { class: `loss ${colour(m.name)}`, tabindex: 0 }, draw("title", {}, m.name),
      draw("polygon", { class: "band", points: [...line(m.steps, m.high), ...line(m.steps, m.low).reverse()].join(" ") }),
      draw("polyline", { class: "mean", points: line(m.steps, m.mean).join(" ") }));
    svg.append(group);
  }
  return svg;
}

function showPictures(section, board) {
  const place = $(".pictures", section);
  const choices = [board.metric, ...Object.keys(board.methods[0]?.costs ?? {})];
  const select = (chosen, label) => make("label", {}, `${label} `, make("select", {},
    ...choices.map((name) => make("option", { value: name, selected: name === chosen }, name))));
  const [xChoice, yChoice] = [select(choices[1], "across"), select(choices[0], "up")];
  const frame = make("div", {});
  const update = () => frame.replaceChildren(scatter(board, $("select", xChoice).value, $("select", yChoice).value));
  for (const choice of [xChoice, yChoice]) choice.addEventListener("change", update);
  update();
  const legend = make("ul", { className: "legend", "aria-label": "Methods in the pictures" }, ...board.methods.map(({ name }) =>
    make("li", {}, draw("svg", { viewBox: "0 0 14 14", class: "key", "aria-hidden": "true" }, mark(name, 7, 7, 4)), name)));
  const loss = losses(board);
  place.append(legend, make("div", { className: "grid wide-grid" },
    make("figure", {}, make("div", { className: "axis-choice" }, yChoice, xChoice), frame,
      make("figcaption", {}, "The dotted line joins the methods that no complete method beats in both; hollow: incomplete")),
    ...loss ? [make("figure", {}, loss, make("figcaption", {}, "training loss: mean over seeds, from the least to the greatest"))] : []));
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
