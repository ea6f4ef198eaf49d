// Sends the forms of a page to the API, shows why one is rejected, and reloads the page once one is accepted.
"use strict";

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.post) return;
  event.preventDefault();
  const body = Object.fromEntries(new FormData(form));
  if (form.dataset.slo) body.slo_id = form.dataset.slo;
  for (const name of ["from", "to"]) if (body[name]) body[name] = new Date(body[name]).toISOString();
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(form.dataset.post, options).catch(() => null);
  if (response?.ok) return location.reload();
  const problem = await response?.json().catch(() => null);
  form.querySelector("[role=alert]").textContent = problem?.detail ?? "No response. Try again.";
});
