// Searches, filters and sorts the table of SLOs, and shows the cards of the rows that match. The state is in the URL, so that a link keeps it.
"use strict";

const FIELDS = ["q", "pool", "status"];
const state = () => new URLSearchParams(location.search);

function keep(name, value) {
  const next = state();
  if (value) next.set(name, value);
  else next.delete(name);
  const text = next.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

function filter() {
  const wanted = state();
  const words = (wanted.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...document.querySelectorAll("#overview tbody tr")];
  for (const row of rows) {
    const matches =
      words.every((word) => row.dataset.text.includes(word)) &&
      ["pool", "status"].every((name) => !wanted.get(name) || row.dataset[name] === wanted.get(name));
    row.hidden = !matches;
    const card = document.getElementById(row.dataset.slo);
    if (card) card.hidden = !matches;
  }
  document.getElementById("download").href = `/slos.csv${location.search}`;
  document.getElementById("matches").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
}

// Rows without a number stay last, in either direction.
function sort() {
  const [column, direction] = (state().get("sort") ?? "").split("-");
  const headers = [...document.querySelectorAll("#overview thead th")];
  for (const one of headers) one.removeAttribute("aria-sort");
  const header = headers[Number(column)];
  if (!column || !header) return;
  header.setAttribute("aria-sort", direction === "down" ? "descending" : "ascending");
  const value = (row) => {
    const cell = row.children[Number(column)];
    return header.dataset.sort === "number" || cell.dataset.value ? cell.dataset.value : cell.textContent.trim();
  };
  const order = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === "" || b === "") return (a === "") - (b === "");
    const sign = direction === "down" ? -1 : 1;
    return sign * (Number.isNaN(Number(a)) ? a.localeCompare(b) : Number(a) - Number(b));
  };
  const body = document.querySelector("#overview tbody");
  body.append(...[...body.children].sort(order));
}

function begin() {
  const form = document.getElementById("filters");
  if (!form) return;
  form.hidden = false;
  for (const name of FIELDS) {
    form.elements[name].value = state().get(name) ?? "";
    form.elements[name].addEventListener("input", (event) => { keep(name, event.target.value); filter(); });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  document.querySelectorAll("#overview thead th").forEach((header, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => {
      keep("sort", `${index}-${header.getAttribute("aria-sort") === "ascending" ? "down" : "up"}`);
      sort();
    });
    header.replaceChildren(button);
  });
  filter();
  sort();
}

document.addEventListener("renewed", begin);
begin();
