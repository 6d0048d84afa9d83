// Files and rejects: how much of a file has been sent, the mapping tried as it is changed, an import watched, rejects by
// keyboard. Without it every form still works.

// ------------------------------------------------------------------------------------------------ a file on its way

const upload = document.querySelector("form[data-upload]");
upload?.addEventListener("submit", (event) => {
  if (!upload.elements.file.files.length) return;
  event.preventDefault();
  const bar = upload.querySelector("progress");
  bar.hidden = false;
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", (said) => {
    if (said.lengthComputable) bar.value = (100 * said.loaded) / said.total;
  });
  // What is answered is a page, wherever it leads: shown as if the form had been sent without a script.
  request.addEventListener("load", () => {
    if (request.status === 200 && request.responseURL !== upload.action) location.assign(request.responseURL);
    else showAnswer(request.responseText);
  });
  request.addEventListener("error", () => upload.submit());
  request.open("POST", upload.action);
  request.send(new FormData(upload));
});

function showAnswer(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  const refusal = document.querySelector("main .refusal");
  refusal?.setAttribute("tabindex", "-1");
  refusal?.focus();
}

// --------------------------------------------------------------------------------------------------- a mapping tried

const SETTLE = 250; // ms: a keyboard passes over many choices on its way to one
const TYPING = 700;
const QUIET = new Set(["title", "name", "source", "live", "replace"]); // they change nothing of what would come

const mapping = document.querySelector("form[data-live]");
let timer = null;
let asking = null;

mapping?.addEventListener("change", (event) => {
  if (QUIET.has(event.target.name)) return;
  event.target.closest(".line")?.querySelector(".why")?.remove(); // the reason was another choice's
  later(SETTLE);
});
mapping?.addEventListener("input", (event) => {
  if (event.target.matches("input:not([type=checkbox])") && !QUIET.has(event.target.name)) later(TYPING);
});

function later(pause) {
  clearTimeout(timer);
  timer = setTimeout(tryOut, pause);
}

async function tryOut() {
  asking?.abort();
  asking = new AbortController();
  const preview = document.getElementById("preview");
  preview.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(mapping.action, {
      method: "POST",
      headers: { "X-Duban-Fragment": "1" },
      body: new URLSearchParams(new FormData(mapping)),
      signal: asking.signal,
    });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(await answer.text());
    put(await answer.text());
  } catch (error) {
    if (error.name === "AbortError") return;
    preview.removeAttribute("aria-busy");
    mapping.requestSubmit(mapping.querySelector("[name=do][value=preview]")); // say it as a page
  }
}

function put(html) {
  const parts = new DOMParser().parseFromString(html, "text/html");
  for (const id of ["preview", "tickets"]) document.getElementById(id).replaceWith(parts.getElementById(id));
  const words = document.getElementById("words");
  const fresh = parts.getElementById("words");
  if (words.dataset.key !== fresh.dataset.key) words.replaceWith(fresh); // else somebody may be choosing there
  else for (const line of words.querySelectorAll(".wordline.unplaced")) {
    if (line.querySelector("select").value !== "!") line.classList.remove("unplaced");
  }
}

// --------------------------------------------------------------------------------------------------- an import watched

async function watch() {
  const state = document.getElementById("state");
  if (!state?.dataset.poll) return;
  try {
    const answer = await fetch(state.dataset.poll, { headers: { "X-Duban-Fragment": "1" } });
    if (answer.status === 401) return location.reload();
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("state");
      if (fresh) state.replaceWith(fresh);
    }
  } catch {
    // The server may be starting again: the import goes on with it, and so does this page.
  }
  setTimeout(watch, 700);
}
if (document.getElementById("state")?.dataset.poll) setTimeout(watch, 400);

// ------------------------------------------------------------------------------------------------- rejects by keyboard

const list = document.querySelector("[data-rejects]");
document.addEventListener("keydown", (event) => {
  if (!list || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea, summary, button")) return;
  const links = [...list.querySelectorAll("a[data-reject]")];
  const at = links.indexOf(document.activeElement);
  const step = { j: 1, k: -1 }[event.key];
  if (step) links[Math.min(Math.max(at + step, 0), links.length - 1)]?.focus();
});
