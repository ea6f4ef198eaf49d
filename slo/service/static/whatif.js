// Simulates the pool's own traffic, which takes a second or more, while its page is there already.
"use strict";

async function simulate() {
  const response = await fetch(`${location.pathname}?request_rate=`).catch(() => null);
  if (!response) return void (document.getElementById("pending").textContent = "No response. Reload the page.");
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const one of fresh.querySelectorAll("[autofocus]")) one.removeAttribute("autofocus"); // the reader may be in the form
  for (const id of ["found", "details"]) document.getElementById(id).replaceWith(fresh.getElementById(id));
}

simulate();
