// What every page but the board needs of a script; all of it works without one.

// A filter left empty need not stand in the address.
for (const form of document.querySelectorAll("form[data-clean]")) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
  });
}
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form[data-clean] :disabled")) field.disabled = false;
  for (const button of document.querySelectorAll("form[data-once] button")) button.disabled = false;
});

// The period that is offered follows the kind of report, until somebody types another one.
const kind = document.querySelector("select[data-periods]");
kind?.addEventListener("change", () => {
  const period = kind.form.elements.period;
  const offered = [...kind.options].map((option) => option.dataset.period);
  if (period.value === "" || offered.includes(period.value)) period.value = kind.selectedOptions[0].dataset.period;
});

// A choice that stands alone is followed at once.
for (const field of document.querySelectorAll("[data-submit]")) field.addEventListener("change", () => field.form.requestSubmit());
for (const part of document.querySelectorAll("[data-nojs]")) part.hidden = true;

// A form is sent once, however often the button is pressed.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", () => {
    // a moment later: a button that is disabled by now would not send what it says
    setTimeout(() => {
      for (const button of form.querySelectorAll("button")) button.disabled = true;
    });
  });
}

// After a refusal the first wrong field, or else the form, is where the person goes on.
const refused = document.querySelector("form[data-refused]");
if (refused) {
  const place = refused.querySelector("[aria-invalid]") ?? refused.querySelector("textarea, select, input:not([type=hidden])");
  place?.focus();
  refused.scrollIntoView({ block: "center" });
}

// What a worker is about to do is looked at again by itself, unless somebody is typing.
const awaited = document.querySelector("[data-refresh]");
if (awaited) {
  setTimeout(() => {
    if (!document.activeElement?.matches("input, select, textarea")) location.reload();
  }, Number(awaited.dataset.refresh) * 1000);
}

// On a narrow screen the menu is wider than the page: where one is stands in sight.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
