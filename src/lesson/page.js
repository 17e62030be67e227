"use strict";
// The answer comes after the prediction, and not before.
(() => {
  const form = document.getElementById("predict"), answer = document.getElementById("answer");
  const redraw = () => window.dispatchEvent(new Event("resize"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = new FormData(form).get("choice");
    for (const verdict of document.querySelectorAll(".verdict")) {
      verdict.hidden = verdict.dataset.choice !== chosen;
      if (!verdict.hidden) verdict.focus();
    }
    answer.hidden = false;
    redraw();
  });
})();
