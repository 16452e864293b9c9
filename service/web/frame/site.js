// What keys and clocks add. Every task works without this file.
"use strict";
const all = (query) => [...document.querySelectorAll(query)];

document.querySelector("#errors")?.focus();

// data-key="c": this key presses the button, follows the link, ticks the choice or focuses the field.
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=radio], [type=checkbox]), textarea, select");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return event.target.form?.requestSubmit();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" && event.target.matches("a, button, summary")) return; // it acts by itself
  const target = all("[data-key]").find((one) => one.dataset.key === event.key && !one.disabled);
  if (!target) return;
  event.preventDefault();
  target.focus();
  if (target.type === "radio" || !target.matches("input, textarea, select")) target.click();
});

// One press sends a form once.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
window.addEventListener("pageshow", () => all("form").forEach((form) => delete form.dataset.sent));

// data-seconds: counts down beside an undo button, then hides what has run out.
for (const clock of all("[data-seconds]")) {
  const until = Date.now() + clock.dataset.seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left > 0) clock.textContent = String(left);
    else { clock.closest(".banner").hidden = true; clearInterval(timer); }
  };
  const timer = setInterval(tick, 250);
}

for (const button of all("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
