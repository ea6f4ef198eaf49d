// Draws the charts of a page with uPlot, and renews page and charts while they are looked at.
"use strict";

const RENEW_MS = 15000;
const SLOT = 300;
const DASHES = [[], [7, 4], [2, 3]]; // lines that differ by more than color
const BORDERS = ["solid", "dashed", "dotted"]; // the same in the legend
const charts = new Map();

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The reader's own time, by a 24-hour clock; midnight shows the day.
function moment(seconds) {
  const time = new Date(seconds * 1000);
  const day = time.getHours() === 0 && time.getMinutes() === 0;
  return time.toLocaleString("en-GB", day ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" });
}

function full(seconds) {
  return new Date(seconds * 1000).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

const minus = (text) => text.replace("-", "\u2212");
const percent = (value) => minus(Math.round(value * 100) + "%");
const figure = (value) => minus(value.toLocaleString("en-GB", { maximumFractionDigits: value < 10 ? 1 : 0 }));
// A count as a rate over the observed time; null below 30 s, where it would be too noisy.
const rate = (value, slot, seconds) => (value == null || slot.covered_seconds < 30 ? null : (value * seconds) / slot.covered_seconds);
const tokensOf = (slot) => (slot.input_tokens == null || slot.output_tokens == null ? null : slot.input_tokens + slot.output_tokens);
const sum = (...values) => (values.every((value) => value === null) ? null : values.reduce((all, value) => all + (value ?? 0), 0));

// One column per value that `pick` takes from a slot, which holds until the slot's end. Where slots are missing there is a gap:
// it is unknown.
function columns(slots, pick) {
  const rows = [];
  for (const slot of slots) {
    const at = Date.parse(slot.start) / 1000;
    const end = rows.at(-1)?.[0];
    if (rows.length && at > end) rows.push([end + 1, ...pick(slot).map(() => null)]);
    if (at === end) rows.pop();
    const values = pick(slot);
    rows.push([at, ...values], [at + SLOT, ...values]);
  }
  return rows.length ? rows[0].map((_, index) => rows.map((row) => row[index])) : [[], ...pick({}).map(() => [])];
}

const bars = ({ slots }, ...picks) => [slots.map((slot) => Date.parse(slot.start) / 1000), ...picks.map((pick) => slots.map(pick))];
const slotsOf = (kind) => (box) => `/api/v1/${kind}/${encodeURIComponent(box.dataset.of)}/slots?from=${encodeURIComponent(box.dataset.since)}&to=${encodeURIComponent(box.dataset.until)}`;

// Of each kind of chart: where its numbers are, its columns, and its series (label, color, filled or bars).
const KINDS = {
  budget: {
    url: (box) => `/api/v1/slos/${encodeURIComponent(box.dataset.of)}/budget`,
    data: ({ points }) => [points.map((point) => Date.parse(point.at) / 1000), points.map((point) => (point.coverage > 0 ? point.budget_remaining : null))],
    series: [["Error budget remaining", "--ok", "fill"]], format: percent, top: 1,
  },
  // For an SLO whose threshold may lie between two bucket boundaries: the budget if all indeterminate requests are bad, and if all are good.
  bounds: {
    url: (box) => `/api/v1/slos/${encodeURIComponent(box.dataset.of)}/budget`,
    data: ({ points }) => [
      points.map((point) => Date.parse(point.at) / 1000),
      ...["budget_remaining", "budget_remaining_upper_bound"].map((bound) => points.map((point) => (point.coverage > 0 ? point[bound] : null))),
    ],
    series: [["Error budget remaining, lower bound", "--ok", "fill"], ["upper bound", "--ok"]], format: percent, top: 1,
  },
  indeterminate: {
    url: slotsOf("slos"), sync: true,
    data: (body) => bars(body, (slot) => slot.total - slot.good, (slot) => slot.total - slot.good - slot.indeterminate),
    series: [["Bad (incl. indeterminate)", "--burning", "bars"], ["Bad (confirmed)", "--exhausted", "bars"]],
  },
  bad: { url: slotsOf("slos"), data: (body) => bars(body, (slot) => slot.total - slot.good), series: [["Bad requests", "--exhausted", "bars"]], sync: true },
  total: { url: slotsOf("slos"), data: ({ slots }) => columns(slots, (slot) => [slot.total]), series: [["Total requests", "--ok", "fill"]], sync: true },
  tokens: {
    url: slotsOf("pools"), sync: true,
    // Demand: arrivals times the mean tokens per request in the range. Throughput is limited by capacity.
    data: ({ slots }, box) => {
      const known = slots.filter((slot) => slot.finished != null && tokensOf(slot) != null);
      const size = known.reduce((all, slot) => all + tokensOf(slot), 0) / known.reduce((all, slot) => all + slot.finished, 0);
      return columns(slots, (slot) => [
        Number.isFinite(size) && slot.arrivals != null ? rate(slot.arrivals * size, slot, 1) : null,
        rate(tokensOf(slot), slot, 1),
        box.dataset.capacity && slot.replicas != null ? slot.replicas * box.dataset.capacity : null,
      ]);
    },
    series: [["Demand (tokens/s)", "--ok", "fill"], ["Throughput", "--ink"], ["Capacity", "--burning"]],
  },
  arrivals: {
    url: slotsOf("pools"), sync: true,
    data: ({ slots }) => columns(slots, (slot) => [rate(slot.arrivals, slot, 60), rate(sum(slot.errors ?? null, slot.rejected ?? null, slot.abandoned_queued ?? null), slot, 60)]),
    series: [["Arrivals/min", "--ok", "fill"], ["Failed, rejected, or abandoned/min", "--exhausted"]],
  },
  queue: { url: slotsOf("pools"), sync: true, data: ({ slots }) => columns(slots, (slot) => [slot.waiting_max ?? null, slot.waiting_mean ?? null]), series: [["Waiting, max", "--burning"], ["Mean", "--ok"]] },
  kv: {
    url: slotsOf("pools"), sync: true, format: percent, top: 1,
    data: ({ slots }, box) => columns(slots, (slot) => [slot.kv_cache_usage_max ?? null, slot.kv_cache_usage_mean ?? null, Number(box.dataset.limit)]),
    series: [["Max replica", "--burning"], ["Mean", "--ok"], ["Limit", "--exhausted"]],
  },
  nodes: { url: slotsOf("pools"), sync: true, data: ({ slots }) => columns(slots, (slot) => [slot.nodes ?? null]), series: [["Nodes up", "--ok", "fill"]] },
};

function options(box, kind) {
  const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  const format = kind.format ?? figure;
  const lines = kind.series.map(([label, name, style], index) => ({
    label, stroke: color(name), width: 2, dash: DASHES[index], spanGaps: false, points: { show: false },
    // Without a cursor: the latest value.
    value: (plot, value, number, at) => {
      const shown = at == null ? plot.data[number].at(-1) : value;
      return shown == null ? "No data" : format(shown);
    },
    ...(style ? { fill: color(name) + (style === "bars" ? "" : "22") } : {}),
    ...(box.dataset.since && style !== "bars" ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
    ...(style === "bars" ? { paths: uPlot.paths.bars({ size: [0.9, 40], align: 1 }), width: 0 } : {}),
  }));
  return {
    width: box.clientWidth, height: 150,
    legend: { show: kind !== KINDS.budget, markers: { dash: (plot, number) => BORDERS[number - 1] } },
    cursor: { y: false, drag: { x: false, y: false }, ...(kind.sync ? { sync: { key: "slots" } } : {}) },
    scales: {
      // A chart of one point has no range of its own: an hour around it, not years.
      x: {
        range: (plot, low, high) =>
          box.dataset.since
            ? [Date.parse(box.dataset.since) / 1000, Date.parse(box.dataset.until) / 1000]
            : high - low < 3600 ? [high - 3600, high] : [low, high],
      },
      y: { range: (plot, low, high) => [Math.min(0, low ?? 0), Math.max(kind.top ?? 1, high ?? 1) * (kind.top ? 1 : 1.05)] },
    },
    axes: [{ ...axis, values: (plot, values) => values.map(moment), space: 90 }, { ...axis, values: (plot, values) => values.map(format), size: 64 }],
    series: [{ label: "Time", value: (plot, value, number, at) => (at == null ? "latest" : full(value)) }, ...lines],
  };
}

function showText(box, text) {
  box.textContent = text;
  charts.delete(box);
}

// A long range has several pages.
async function read(url) {
  const response = await fetch(url);
  if (!response.ok) return null;
  const body = await response.json();
  if (!body.next) return body;
  const rest = await read(body.next);
  return rest && { ...body, slots: [...body.slots, ...rest.slots] };
}

async function draw(box, responses) {
  const kind = KINDS[box.dataset.chart];
  const url = kind.url(box);
  if (!responses.has(url)) responses.set(url, read(url));
  const body = await responses.get(url);
  if (!body) return;
  const data = kind.data(body, box);
  if (data.slice(1).every((column) => column.every((value) => value == null))) return showText(box, "No data in this range.");
  if (charts.has(box)) return charts.get(box).setData(data);
  box.textContent = "";
  charts.set(box, new uPlot(options(box, kind), data, box));
}

async function drawAll() {
  const responses = new Map(); // several charts show the same slots
  await Promise.all([...document.querySelectorAll(".chart")].map((box) => draw(box, responses)));
}

function localTimes() {
  for (const time of document.querySelectorAll("time")) time.textContent = full(Date.parse(time.dateTime) / 1000);
}

const key = (box) => box.dataset.chart + " " + box.dataset.of;

async function renew() {
  const main = document.querySelector("main");
  if (document.visibilityState === "visible" && !main.contains(document.activeElement) && !main.querySelector("details[open] form")) {
    const response = await fetch(location.href);
    if (response.status === 401) return location.reload(); // the session has ended: the login page leads back here
    if (response.ok) {
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      const drawn = new Map([...document.querySelectorAll(".chart")].map((box) => [key(box), box]));
      for (const box of fresh.querySelectorAll(".chart")) {
        const old = drawn.get(key(box));
        if (!old) continue;
        Object.assign(old.dataset, box.dataset);
        box.replaceWith(old);
      }
      const open = [...document.querySelectorAll("details")].map((one) => one.open);
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
      document.querySelectorAll("details").forEach((one, index) => { one.open = open[index] ?? false; });
      localTimes();
      document.dispatchEvent(new Event("renewed"));
    }
  }
  await drawAll();
}

// Paper is white, and narrower than a screen: charts are drawn for it, and again for the screen.
function redraw() {
  for (const [box, chart] of charts) {
    chart.destroy();
    charts.set(box, new uPlot(options(box, KINDS[box.dataset.chart]), chart.data, box));
  }
}

for (const media of ["print", "(prefers-color-scheme: dark)"]) matchMedia(media).addEventListener("change", redraw);
window.addEventListener("resize", () => charts.forEach((chart, box) => chart.setSize({ width: box.clientWidth, height: 150 })));
localTimes();
drawAll();
setInterval(() => renew().catch(() => {}), RENEW_MS);
