// The board kept live: the server's stream says that something happened, and the board's part of the page is fetched
// anew, so that what is shown is always what the server would show. Without this script a reload does the same.

const columns = document.getElementById("columns");
const lost = document.getElementById("lost");
const live = document.getElementById("live");
const news = document.getElementById("news");
const csrf = document.body.dataset.csrf;
const onWall = document.body.classList.contains("wall");

const GATHER = 60; // ms: one sweep raises many alerts, they are fetched together
const PATIENCE = 3500; // ms without a connection before it is said aloud; the stream itself comes back after two seconds
const CHECK = 45_000; // ms: a connection can die without a word

// ---------------------------------------------------------------------------------------------------- connection

let lostSince = null;
let patience = null;

function clockText(moment) {
  // in the zone of the times on the page, whatever that of the screen's computer
  return moment.toLocaleTimeString(document.documentElement.lang, { hour12: false, timeZone: document.body.dataset.zone });
}

function connectionLost() {
  lostSince ??= new Date();
  patience ??= setTimeout(() => {
    lost.textContent = document.body.dataset.lost.replace("{time}", clockText(lostSince));
    lost.hidden = false;
    if (live) live.hidden = true;
  }, PATIENCE);
}

function connectionThere() {
  clearTimeout(patience);
  patience = null;
  lostSince = null;
  lost.hidden = true;
  if (live) live.hidden = false;
}

// ------------------------------------------------------------------------------------------------ fetching anew

let gathering = null;
let fetching = false;
let again = false;

function refreshSoon() {
  gathering ??= setTimeout(() => {
    gathering = null;
    refresh();
  }, GATHER);
}

async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    const answer = await fetch(columns.dataset.address, { headers: { "X-Duban-Fragment": "1" }, redirect: "error" });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.text());
  } catch {
    connectionLost();
  } finally {
    fetching = false;
    if (again) {
      again = false;
      refreshSoon();
    }
  }
}

const rowsIn = (part) => new Map([...part.querySelectorAll("[data-alert]")].map((row) => [row.dataset.alert, row]));

function show(html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const before = rowsIn(columns);
  const after = rowsIn(fresh.content);
  const chosen = columns.querySelector("[data-alert].chosen")?.dataset.alert;
  const focused = document.activeElement?.closest?.("[data-alert]")?.dataset.alert;
  const focusedTag = document.activeElement?.tagName;
  const arrived = [...after.keys()].filter((id) => !before.has(id));
  const gone = [...before.keys()].filter((id) => !after.has(id));

  const put = () => {
    columns.replaceChildren(fresh.content);
    fit();
    for (const id of arrived) after.get(id).classList.add("arrived");
    const again = after.get(chosen);
    again?.classList.add("chosen");
    if (focused) (after.get(focused)?.querySelector(focusedTag) ?? after.get(focused)?.querySelector("a"))?.focus();
    if (arrived.length) news.textContent = document.body.dataset.new.replace("{n}", arrived.length);
  };
  if (!gone.length || matchMedia("(prefers-reduced-motion: reduce)").matches) {
    put();
    return;
  }
  for (const id of gone) before.get(id).classList.add("leaving"); // what is resolved fades before it goes
  setTimeout(put, 450);
}

// On the wall nobody scrolls: a column shows as many rows as fit whole, page after page, and says which page it is at.
const TURN = 12_000; // ms that a page of rows stays
let turned = 0;

function fit() {
  if (!onWall) return;
  for (const place of columns.querySelectorAll("[data-page]")) {
    place.hidden = false; // it takes its room before the rest is measured
    place.textContent ||= "1/1";
  }
  for (const column of columns.querySelectorAll(".column")) {
    const rows = [...column.querySelectorAll("[data-alert]")];
    for (const row of rows) row.classList.remove("away", "cut");
    const end = column.getBoundingClientRect().bottom;
    const pages = [[]];
    let shift = 0; // how far up the page under way has moved
    for (const row of rows) {
      const place = row.getBoundingClientRect();
      if (place.bottom - shift > end + 1 && pages.at(-1).length) {
        shift = place.top - rows[0].getBoundingClientRect().top;
        pages.push([]);
      }
      pages.at(-1).push(row);
    }
    const shown = turned % pages.length;
    for (const [number, page] of pages.entries()) for (const row of page) row.classList.toggle("away", number !== shown);
    if (rows.length) for (const row of pages[shown]) row.classList.toggle("cut", row.getBoundingClientRect().bottom > end + 1);
    const place = columns.querySelector(`[data-page="${column.dataset.column}"]`);
    if (place) {
      place.textContent = `${shown + 1}/${pages.length}`;
    }
  }
}
addEventListener("resize", fit);
fit();
if (onWall) {
  setInterval(() => {
    turned += 1;
    fit();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
      columns.animate([{ opacity: 0.35 }, { opacity: 1 }], { duration: 450 });
    }
  }, TURN);
}

// ------------------------------------------------------------------------------------------------------- stream

let stream = null;

function listen() {
  stream = new EventSource("/api/v1/alerts/stream");
  stream.onopen = () => {
    connectionThere();
    refreshSoon(); // what happened between the page and the stream, or while it was away
  };
  stream.onmessage = refreshSoon;
  stream.onerror = () => {
    connectionLost();
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000); // refused for good: ask again, from the start
  };
}

listen();
setInterval(refreshSoon, CHECK); // the words for times grow older, too
addEventListener("beforeunload", () => stream?.close());

// --------------------------------------------------------------------------------------------------- acknowledge

async function acknowledge(form) {
  const button = form.querySelector("button");
  button.disabled = true;
  const answer = await fetch(form.action, {
    method: "POST",
    headers: { "X-Duban-Fragment": "1" },
    body: new URLSearchParams({ csrf }),
  }).catch(() => null);
  if (answer?.status === 401) {
    location.reload();
    return;
  }
  if (answer && !answer.ok) {
    const said = document.createElement("p");
    said.className = "refusal";
    said.setAttribute("role", "alert");
    said.textContent = await answer.text();
    form.replaceWith(said);
    setTimeout(refreshSoon, 4000);
    return;
  }
  if (!answer) {
    button.disabled = false;
    connectionLost();
    return;
  }
  refreshSoon();
}

columns.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-ack]")) return;
  event.preventDefault();
  acknowledge(event.target);
});

// ------------------------------------------------------------------------------------------------------ keyboard

const help = document.getElementById("help");

function choose(step) {
  const rows = [...columns.querySelectorAll("[data-alert]:not(.leaving)")];
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.classList.contains("chosen"));
  const next = now < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(now + step, 0), rows.length - 1);
  rows[now]?.classList.remove("chosen");
  rows[next].classList.add("chosen");
  rows[next].querySelector("a").focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

const chosen = () => columns.querySelector("[data-alert].chosen");

const KEYS = {
  j: () => choose(1),
  k: () => choose(-1),
  a: () => {
    const form = chosen()?.querySelector("[data-ack]");
    if (form) acknowledge(form);
  },
  o: () => chosen()?.querySelector("a")?.click(),
  "?": () => help?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help?.open) return;
  if (event.target.closest("input, select, textarea")) return;
  const act = KEYS[event.key];
  if (!act || onWall) return;
  event.preventDefault();
  act();
});

columns.addEventListener("focusin", (event) => {
  const row = event.target.closest("[data-alert]");
  if (!row) return;
  for (const other of columns.querySelectorAll(".chosen[data-alert]")) other.classList.remove("chosen");
  row.classList.add("chosen");
});

// --------------------------------------------------------------------------------------------------------- rest

const opener = document.getElementById("help-open");
if (opener) {
  opener.hidden = false;
  opener.addEventListener("click", () => help.showModal());
}
for (const field of document.querySelectorAll("[data-submit]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}
for (const part of document.querySelectorAll("[data-nojs]")) part.hidden = true;

const clock = document.getElementById("clock");
if (clock) {
  const tick = () => {
    clock.textContent = clockText(new Date());
  };
  tick();
  setInterval(tick, 1000);
}
