// Shows the times of a range in the reader's time zone, and leads to the range that is entered.
"use strict";

// As an input of type datetime-local takes it.
function localTime(text) {
  const time = new Date(text);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function beginRanges() {
  for (const form of document.querySelectorAll("form.custom")) {
    form.hidden = false;
    for (const name of ["from", "to"]) form.elements[name].value = localTime(form.dataset[name]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const times = ["from", "to"].map((name) => [name, new Date(form.elements[name].value).toISOString().replace(".000", "")]);
      location.assign(`${location.pathname}?${new URLSearchParams(times)}#${form.dataset.at}`);
    });
  }
}

document.addEventListener("renewed", beginRanges);
beginRanges();
