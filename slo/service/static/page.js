// Draws each objective's budget over time with uPlot, and renews the page's numbers while it is looked at.
"use strict";

const RENEW_MS = 15000;
const charts = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The reader's own time, by a 24-hour clock; midnight shows the day.
function moment(seconds) {
  const time = new Date(seconds * 1000);
  const day = time.getHours() === 0 && time.getMinutes() === 0;
  return time.toLocaleString("en-GB", day ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" });
}

function options(element) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 } };
  const percent = (plot, values) => values.map((value) => (Math.round(value * 100) + "%").replace("-", "\u2212"));
  const clock = (plot, values) => values.map(moment);
  return {
    width: element.clientWidth, height: 150, legend: { show: false }, cursor: { y: false },
    scales: { y: { range: (plot, low, high) => [Math.min(0, low ?? 0), Math.max(1, high ?? 1)] } },
    axes: [{ ...axis, values: clock, space: 90 }, { ...axis, values: percent, size: 64 }],
    series: [{}, { label: "budget left", stroke: colour("--ok"), width: 2, spanGaps: false, fill: colour("--ok") + "22" }],
  };
}

async function draw(element) {
  const answer = await fetch(`/api/v1/slos/${encodeURIComponent(element.dataset.objective)}/budget`);
  if (!answer.ok) return;
  const history = (await answer.json()).history;
  // A step that was not observed is a gap in the line: it is unknown.
  const data = [history.map((point) => Date.parse(point.at) / 1000), history.map((point) => (point.covered > 0 ? point.budget_left : null))];
  if (charts.has(element)) charts.get(element).setData(data);
  else charts.set(element, new uPlot(options(element), data, element));
}

async function renew() {
  if (document.visibilityState === "visible") {
    const answer = await fetch("/");
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const kept = new Map([...document.querySelectorAll(".chart")].map((chart) => [chart.dataset.objective, chart]));
      for (const chart of fresh.querySelectorAll(".chart")) {
        if (kept.has(chart.dataset.objective)) chart.replaceWith(kept.get(chart.dataset.objective));
      }
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
    }
  }
  await Promise.all([...document.querySelectorAll(".chart")].map(draw));
}

window.addEventListener("resize", () => charts.forEach((chart, element) => chart.setSize({ width: element.clientWidth, height: 150 })));
document.querySelectorAll(".chart").forEach(draw);
setInterval(() => renew().catch(() => {}), RENEW_MS);
