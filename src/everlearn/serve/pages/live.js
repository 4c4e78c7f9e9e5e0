"use strict";
// Looks again while something is under way: the page is fetched anew, and its parts (data-part) take the place of those that changed.
const parts = (page) => [...page.querySelectorAll("[data-part]")];

async function again() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (answer.redirected && !parts(page).length) {
    location.assign(answer.url); // it is another page now, such as the sign-in
    return;
  }
  for (const fresh of parts(page)) {
    const shown = parts(document).find((part) => part.dataset.part === fresh.dataset.part);
    if (!shown) continue;
    if ("live" in fresh.dataset) shown.dataset.live = fresh.dataset.live;
    else delete shown.dataset.live;
    if (shown.innerHTML !== fresh.innerHTML) shown.replaceChildren(...fresh.childNodes);
  }
  if (answer.redirected) history.replaceState(null, "", answer.url);
}

function look() {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  setTimeout(async () => {
    try {
      if (!document.hidden && !live.contains(document.activeElement)) await again();
    } catch {
      // the server is away; it is asked again
    }
    look();
  }, Number(live.dataset.live));
}
look();

// A file that the server would turn away is told of before it is sent.
document.querySelector("form[data-most]")?.addEventListener("change", (event) => {
  const form = event.currentTarget;
  const inputs = [...form.querySelectorAll("input[type=file]")];
  const size = inputs.flatMap((input) => [...input.files]).reduce((sum, file) => sum + file.size, 2000); // the form's own lines
  inputs[0].setCustomValidity(size > Number(form.dataset.most) ? form.dataset.over : "");
  if (inputs[0].validity.customError) inputs[0].reportValidity();
});
