// Three attributes that bring server-rendered fragments into the page, and a few small comforts.
//   data-load="/path"     inside <details>: fetched once when it is opened
//   data-live="/path"     server-sent events; each `fragment` replaces the content, `done` ends it
//   data-refresh="#id"    on a GET form: a change fetches the form's action into that element
// A fragment is taken only from our own origin, never across a redirect, and only when the answer
// says `X-Fragment: 1`: markup that slipped through escaping must not become a request of its own.

const policy = globalThis.trustedTypes?.createPolicy("countersign-fragment", { createHTML: (html) => html });

/** Keeps what our fragments use; scripts, handlers and styles are removed whatever is allowed here. */
function sanitizer() {
  const allowed = new Sanitizer();
  for (const name of ["class", "id", "role", "datetime", "title", "max", "value", "tabindex", "data-relative",
    "data-icon", "aria-hidden", "aria-label", "aria-labelledby", "aria-live", "aria-current"]) {
    allowed.allowAttribute(name);
  }
  for (const name of ["progress", { name: "svg", namespace: "http://www.w3.org/2000/svg" }]) allowed.allowElement(name);
  return allowed;
}

/** `setHTML` removes every <use>, so icons are drawn again: the sprite is the one this page uses. */
function drawIcons(root) {
  const sprite = document.querySelector("svg.icon > use")?.getAttribute("href")?.split("#")[0];
  for (const icon of root.querySelectorAll("svg[data-icon]")) {
    if (!sprite || icon.firstElementChild || !/^[a-z-]+$/.test(icon.dataset.icon)) continue;
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `${sprite}#i-${icon.dataset.icon}`);
    icon.replaceChildren(use);
  }
}

function put(target, html) {
  if (target.setHTML && globalThis.Sanitizer) {
    target.setHTML(html, { sanitizer: sanitizer() });
  } else {
    const template = document.createElement("template");
    template.innerHTML = policy ? policy.createHTML(html) : html;
    target.replaceChildren(template.content);
  }
  drawIcons(target);
  refreshTimes(target);
}

function sameOrigin(path) {
  const url = new URL(path, location.href);
  if (url.origin !== location.origin) throw new Error("fragment from another origin");
  return url;
}

async function load(target, path) {
  target.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(sameOrigin(path), { headers: { "x-fragment": "1" }, redirect: "error" });
    if (!answer.ok || answer.headers.get("x-fragment") !== "1") throw new Error(`status ${answer.status}`);
    put(target, await answer.text());
  } catch {
    target.textContent = "Could not load this part. Reload the page to try again.";
  } finally {
    target.removeAttribute("aria-busy");
  }
}

for (const details of document.querySelectorAll("details:has(> [data-load])")) {
  details.addEventListener("toggle", () => {
    const target = details.querySelector(":scope > [data-load]");
    if (!details.open || !target) return;
    const path = target.dataset.load;
    delete target.dataset.load;
    load(target, path);
  });
}

for (const target of document.querySelectorAll("[data-live]")) {
  const events = new EventSource(sameOrigin(target.dataset.live));
  events.addEventListener("fragment", (event) => put(target, event.data));
  events.addEventListener("done", () => {
    events.close();
    // The rest of the page (status, panel, history) has changed too. A page that is final has
    // nothing live on it, so this happens once.
    setTimeout(() => location.reload(), 1200);
  });
  addEventListener("pagehide", () => events.close());
}

for (const form of document.querySelectorAll("form[data-refresh]")) {
  form.addEventListener("change", () => {
    const target = document.querySelector(form.dataset.refresh);
    if (target) load(target, `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`);
  });
}

// "6 min ago" ages while the page stays open. Without script the server's words stay as they were.
const words = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
const steps = [[60, "second"], [3600, "minute", 60], [86400, "hour", 3600], [Infinity, "day", 86400]];

function refreshTimes(root) {
  for (const time of root.querySelectorAll("time[data-relative]")) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    const [, unit, size = 1] = steps.find(([limit]) => Math.abs(seconds) < limit);
    if (unit === "second") time.textContent = seconds < 0 ? "just now" : "in under a minute";
    else time.textContent = words.format(Math.trunc(seconds / size), unit).replace(".", "");
  }
}
setInterval(() => refreshTimes(document), 30_000);

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText((source?.dataset.exact ?? source?.textContent ?? "").trim());
    button.dataset.copied = "";
    say("Copied");
  } catch {
    say("Could not copy. Select the text and copy it by hand");
  }
  setTimeout(() => delete button.dataset.copied, 2000);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-fill]");
  const field = button && document.getElementById(button.dataset.fill);
  if (!field) return;
  field.value = button.value;
  field.focus();
});

function say(text) {
  const status = document.getElementById("said");
  if (status) status.textContent = text;
}

// "/" finds a release. No key approves anything.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
  const find = document.querySelector("[data-find]");
  if (!find) return;
  event.preventDefault();
  if (find.matches("input")) find.focus();
  else find.click();
});
