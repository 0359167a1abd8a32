// <form data-passkey="create|get" action="BASE">: the one thing on these pages that needs script.
//   POST BASE/begin  {the form's fields}            -> {ceremony, publicKey}
//   POST BASE/finish {ceremony, credential}         -> {location}
// Failures are problem+json or a DOMException; both become a sentence inside the form.

const KINDS = {
  create: {
    parse: (json) => PublicKeyCredential.parseCreationOptionsFromJSON(json),
    ask: (publicKey, signal) => navigator.credentials.create({ publicKey, signal }),
  },
  get: {
    parse: (json) => PublicKeyCredential.parseRequestOptionsFromJSON(json),
    ask: (publicKey, signal) => navigator.credentials.get({ publicKey, signal }),
  },
};

/** An answer of the server that is already a sentence for people. */
class Problem extends Error {
  constructor(title, detail) {
    super([title, detail].filter(Boolean).join(". "));
  }
}

async function post(url, value) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  const csrf = document.querySelector('meta[name="csrf-token"]')?.content;
  if (csrf) headers["x-csrf-token"] = csrf;
  let answer;
  try {
    answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(value), redirect: "error" });
  } catch {
    throw new Problem("Countersign did not answer", "Nothing was signed. Check the connection and try again");
  }
  const json = await answer.json().catch(() => ({}));
  if (answer.ok) return json;
  throw new Problem(json.title ?? `Countersign answered with ${answer.status}`, json.detail);
}

/** What to say for a DOMException. Browsers give one name to "cancelled", "timed out" and "no key here" on purpose. */
function explain(error, kind, waited) {
  if (error instanceof Problem) return { text: error.message, failed: true };
  switch (error?.name) {
    case "NotAllowedError":
      if (kind === "get" && waited > 55_000) {
        return { text: "The device stopped waiting. Nothing was signed. Press the button to ask again.", failed: false };
      }
      return {
        text: kind === "get"
          ? "Nothing happened. Try again, or use another device if your passkey is not on this one."
          : "Nothing happened. Try again, or choose another device in your browser's list.",
        failed: false,
      };
    case "AbortError":
      return { text: "Stopped. Nothing was signed.", failed: false };
    case "InvalidStateError":
      return { text: "This device already holds a passkey for you here. Use another device for the second one.", failed: true };
    case "SecurityError":
      return { text: `Passkeys do not work at ${location.origin}. Open Countersign at the address it is set up for, over https or on localhost.`, failed: true };
    case "NotSupportedError":
    case "ConstraintError":
      return { text: "This device cannot make a passkey that checks it is you. Use a phone, a laptop with a fingerprint reader or a PIN, or a security key with a PIN.", failed: true };
    default:
      return { text: "This browser could not finish. Nothing was signed. Try another browser or device.", failed: true };
  }
}

function show(form, text, failed) {
  const place = form.querySelector("[data-passkey-message]");
  if (!place) return;
  // Only an error interrupts a screen reader; a cancelled prompt is quiet.
  if (failed) place.setAttribute("role", "alert");
  else place.removeAttribute("role");
  place.classList.toggle("failed", failed);
  place.textContent = text;
}

function here(path) {
  const url = new URL(path, location.href);
  if (url.origin !== location.origin) throw new Problem("The answer pointed to another site", "Nothing was opened");
  return url;
}

async function ceremony(form, kind) {
  const base = form.getAttribute("action");
  const { ceremony, publicKey } = await post(here(`${base}/begin`), Object.fromEntries(new FormData(form)));
  const options = KINDS[kind].parse(publicKey);
  const credential = await KINDS[kind].ask(options);
  show(form, "Checking…", false);
  const { location: next } = await post(here(`${base}/finish`), { ceremony, credential: credential.toJSON() });
  location.assign(here(next));
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const kind = form.dataset.passkey;
  const button = form.querySelector("button[type=submit]");
  if (!globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON) {
    show(form, globalThis.isSecureContext
      ? "This browser is too old for passkeys. Use a current Firefox, Chrome, Edge or Safari."
      : "Passkeys need https or localhost. Open Countersign at the address it is set up for.", true);
    continue;
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    button.disabled = true;
    const since = performance.now();
    show(form, "Follow your device…", false);
    try {
      await ceremony(form, kind);
    } catch (error) {
      const { text, failed } = explain(error, kind, performance.now() - since);
      button.disabled = false;
      show(form, text, failed);
      button.focus();
    } finally {
      form.ariaBusy = "false";
    }
  });
}
