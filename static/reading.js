// Reading the files of a release: ticks without a reload, and keys.
//   form#ticks            its buttons tick a file; `viewed` and `unviewed` are what the server is told
//   [data-viewed]         shows how much is viewed
//   tr[data-file]         a file of the list; on the page of one file there are a[rel=next] and a[rel=prev]
//   [data-keyboard]       says which keys there are, and switches them off
// Without this script the buttons send the form and the links lead on.

const form = document.getElementById("ticks");

form?.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (!button) return;
  event.preventDefault();
  // What was asked, whatever the button says when the answer is there.
  const viewed = button.name === "viewed";
  const body = new URLSearchParams(new FormData(form, button)).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded", "x-fragment": "1" };
  try {
    const answer = await fetch(form.action, { method: "POST", headers, body, redirect: "error" });
    if (!answer.ok || answer.headers.get("x-fragment") !== "1") throw new Error(`status ${answer.status}`);
    const words = (await answer.text()).trim();
    // The same file may be in several artifacts.
    for (const same of document.querySelectorAll("button.tick")) {
      if (same.value !== button.value) continue;
      same.setAttribute("aria-pressed", String(viewed));
      same.name = viewed ? "unviewed" : "viewed";
    }
    for (const place of document.querySelectorAll("[data-viewed]")) place.textContent = words;
    say(words);
  } catch {
    say("Not saved. Reload the page and try again");
    button.focus();
  }
});

function say(text) {
  const status = document.getElementById("said");
  if (status) status.textContent = text;
}

// The choice is of this browser; where nothing can be kept, the keys work.
const SWITCH = "countersign-keys";
const keyboard = document.querySelector("[data-keyboard]");
const box = document.querySelector("[data-keyboard-on]");

function kept() {
  try {
    return localStorage.getItem(SWITCH);
  } catch {
    return null;
  }
}

if (keyboard && box) {
  keyboard.hidden = false;
  box.checked = kept() !== "off";
  box.addEventListener("change", () => {
    try {
      localStorage.setItem(SWITCH, box.checked ? "on" : "off");
    } catch {
      say("This browser keeps no choices, so it holds for this page");
    }
  });
}

const files = [...document.querySelectorAll("tr[data-file]")];
let current = -1;

/** The row that has the focus, else the one that keys led to last. */
function place() {
  const focused = files.indexOf(document.activeElement?.closest("tr[data-file]"));
  return focused >= 0 ? focused : current;
}

function move(step) {
  if (files.length === 0) {
    document.querySelector(step > 0 ? "a[rel=next]" : "a[rel=prev]")?.click();
    return;
  }
  current = Math.min(files.length - 1, Math.max(0, place() + step));
  files[current].querySelector("a")?.focus();
}

function tick() {
  const where = files.length === 0 ? document : files[place()];
  where?.querySelector("button.tick")?.click();
}

const MOVES = { j: 1, n: 1, k: -1, p: -1 };

const KEYS = {
  v: tick,
  "?": () => {
    keyboard.open = !keyboard.open;
    if (keyboard.open) keyboard.querySelector("summary").focus();
  },
};

document.addEventListener("keydown", (event) => {
  if (!keyboard || !box?.checked || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
  const step = Object.hasOwn(MOVES, event.key) ? MOVES[event.key] : 0;
  const act = step ? () => move(step) : Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : undefined;
  if (!act) return;
  event.preventDefault();
  // A key that is held leads on through a list, and does nothing else more than once: not tick and
  // untick, and not pass over pages that nobody read.
  if (event.repeat && !(step && files.length > 0)) return;
  act();
});
