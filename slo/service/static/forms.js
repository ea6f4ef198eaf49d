// Sends the forms of a page to the API, and shows why one is rejected. Once one is accepted, it reloads the page, and puts the focus where the form was.
"use strict";

const SENT = "plimsoll-sent"; // the section whose form was accepted, by its heading's ID
const TIMES = ["from", "to", "start"];

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.post) return;
  event.preventDefault();
  if (form.ariaBusy === "true") return; // pressed twice
  form.ariaBusy = "true";
  const body = Object.fromEntries(new FormData(form));
  if (form.dataset.slo) body.slo_id = form.dataset.slo;
  for (const name of TIMES) if (body[name]) body[name] = new Date(body[name]).toISOString();
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(form.dataset.post, options).catch(() => null);
  if (response?.ok) {
    sessionStorage.setItem(SENT, form.closest("section").getAttribute("aria-labelledby"));
    return location.reload();
  }
  const problem = await response?.json().catch(() => null);
  form.querySelector("[role=alert]").textContent = problem?.detail ?? "No response. Try again.";
  form.ariaBusy = "false";
});

function showSent() {
  const heading = document.getElementById(sessionStorage.getItem(SENT) ?? "");
  sessionStorage.removeItem(SENT);
  if (!heading) return;
  heading.insertAdjacentHTML("afterend", '<p class="sent" role="status">✓ Saved.</p>');
  heading.tabIndex = -1;
  heading.focus();
}

for (const input of document.querySelectorAll("input[data-time]")) input.value = localTime(input.dataset.time);
showSent();
