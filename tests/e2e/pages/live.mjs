// live.js, passkey.js and reading.js in a real browser under the real headers: node live.mjs <target/pages>
import assert from "node:assert/strict";
import path from "node:path";
import { CHROMIUM, libraries, serve } from "./serve.mjs";

const { chromium } = await libraries();
const site = await serve(path.resolve(process.argv[2]));
const browser = await chromium.launch(CHROMIUM);

async function open(page, prepare) {
  const context = await browser.newContext();
  const tab = await context.newPage();
  const said = [];
  tab.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  tab.on("pageerror", (error) => said.push(String(error)));
  if (prepare) await prepare(tab);
  await tab.goto(`${site.address}/${page}.html`, { waitUntil: "domcontentloaded" });
  return { tab, said, close: () => context.close() };
}

// A fragment replaces the steps and looks like what the page itself had.
for (const withoutSanitizer of [false, true]) {
  const { tab, said, close } = await open("release-publishing", withoutSanitizer ? ((tab) => tab.addInitScript(() => { delete Element.prototype.setHTML; })) : undefined);
  const before = await tab.locator("[data-live]").innerText();
  await tab.evaluate(() => { document.querySelector("[data-live] ol").dataset.old = ""; });
  await tab.waitForSelector("[data-live] ol:not([data-old])");
  assert.equal(await tab.locator("[data-live]").innerText(), before);
  assert.equal(await tab.locator("[data-live] .dot use").count(), 4, "every step has its icon");
  assert.equal(await tab.locator("[data-live] li.done").count(), 2, "classes stay");
  assert.equal(await tab.locator("[data-live] progress").getAttribute("value"), "62");
  assert.deepEqual(said, []);
  await close();
}

// Markup that slipped into a fragment does nothing.
site.fragment = `<ol class="run"><li id="evil" onclick="window.ran=1"><script>window.ran=1</script><img src="/ran" onerror="window.ran=1"><p hx-post="/ran" hx-trigger="load" style="color:red">x</p><iframe src="/ran"></iframe></li></ol>`;
{
  const { tab, close } = await open("release-publishing");
  const asked = [];
  tab.on("request", (request) => asked.push(request.url()));
  await tab.waitForSelector("#evil");
  await tab.click("#evil");
  await tab.waitForTimeout(300);
  assert.equal(await tab.evaluate(() => window.ran), undefined);
  assert.equal(await tab.locator("#evil script, #evil iframe, #evil [style], [onclick], [onerror]").count(), 0);
  assert.deepEqual(asked.filter((url) => url.includes("ran")), []);
  await close();
}

// Passkey: a refusal is said in the form, with role alert, and the button has the focus again.
for (const [status, body, sentence, alert] of [
  [409, { title: "The statement changed", detail: "Open the release again" }, "The statement changed. Open the release again", true],
  [200, { ceremony: "c", publicKey: { challenge: "AAAA", rpId: "127.0.0.1", timeout: 1000 } }, "", null],
]) {
  const { tab, close } = await open("release-needs-approvals");
  const sent = [];
  await tab.route("**/approve/begin", (route) => {
    sent.push([route.request().headers()["x-csrf-token"], route.request().postDataJSON()]);
    route.fulfill({ status, contentType: "application/problem+json", body: JSON.stringify(body) });
  });
  await tab.fill("#note", "looked at it");
  await tab.fill("textarea[name^='override:']", "it is fine");
  for (const box of await tab.locator("input[name^='look:']").all()) await box.check();
  await tab.click("text=Approve with passkey");
  await tab.waitForFunction(() => !document.querySelector("form[data-passkey] button[type=submit]").disabled);
  const message = tab.locator("[data-passkey-message]");
  assert.equal(sent.length, 1);
  assert.equal(sent[0][0], "c3JmLXRva2Vu");
  assert.equal(sent[0][1].note, "looked at it");
  assert.equal(sent[0][1]["override:HK-06:aurora.pth"], "it is fine");
  if (sentence) assert.equal(await message.innerText(), sentence);
  else assert.match(await message.innerText(), /Nothing happened|Passkeys do not work/);
  if (alert !== null) assert.equal(await message.getAttribute("role"), alert ? "alert" : null);
  assert.equal(await tab.evaluate(() => document.activeElement.innerText), "Approve with passkey");
  await close();
}

// The slash finds; the copy button copies the exact line; a preset fills the reason.
{
  const { tab, close } = await open("releases");
  await tab.keyboard.press("/");
  assert.equal(await tab.evaluate(() => document.activeElement.id), "q");
  await close();
  const reject = await open("reject");
  await reject.tab.click("text=Wrong version");
  assert.equal(await reject.tab.inputValue("#reason"), "Wrong version: ");
  await reject.close();
}

// Keys lead through the files that changed and tick them without a reload, but not while somebody types.
{
  const { tab, said, close } = await open("files");
  const sent = [];
  let status = 200;
  await tab.route("**/viewed", (route) => {
    sent.push(new URLSearchParams(route.request().postData()).get("viewed") ? "viewed" : "unviewed");
    route.fulfill({ status, headers: { "x-fragment": "1", "content-type": "text/html" }, body: "5 of 6 viewed" });
  });
  const focused = () => tab.evaluate(() => document.activeElement.textContent);
  for (const [key, file] of [["j", "aurora.pth"], ["n", "aurora/_speedups.so"], ["k", "aurora.pth"], ["p", "aurora.pth"]]) {
    await tab.keyboard.press(key);
    assert.equal(await focused(), file);
  }
  const first = tab.locator("button.tick").first();
  assert.equal(await first.getAttribute("aria-pressed"), "false");
  await tab.keyboard.press("v");
  await tab.waitForSelector("button.tick[aria-pressed=true][name=unviewed]");
  assert.equal(await first.getAttribute("aria-pressed"), "true");
  assert.equal(await tab.locator(".viewed").innerText(), "5 of 6 viewed");
  assert.equal(await tab.locator("#said").textContent(), "5 of 6 viewed");
  status = 409;
  await tab.keyboard.press("v");
  await tab.waitForFunction(() => document.getElementById("said").textContent.startsWith("Not saved"));
  assert.equal(await first.getAttribute("aria-pressed"), "true", "what was not saved does not look saved");
  assert.deepEqual(sent, ["viewed", "unviewed"]);
  // A key that is held leads on, and ticks once.
  status = 200;
  await tab.locator("h1").click();
  await tab.keyboard.press("j");
  const at = await focused();
  for (let held = 0; held < 3; held++) await tab.keyboard.down("j");
  await tab.keyboard.up("j");
  assert.notEqual(await focused(), at);
  sent.length = 0;
  for (let held = 0; held < 3; held++) await tab.keyboard.down("v");
  await tab.keyboard.up("v");
  await tab.waitForFunction(() => document.getElementById("said").textContent === "5 of 6 viewed");
  assert.equal(sent.length, 1);
  for (let held = 0; held < 2; held++) await tab.keyboard.down("?");
  await tab.keyboard.up("?");
  assert.equal(await tab.locator("[data-keyboard]").getAttribute("open"), "", "opened, and not closed again");
  await tab.uncheck("[data-keyboard-on]");
  await tab.locator("h1").click();
  await tab.keyboard.press("j");
  assert.notEqual(await focused(), "aurora.pth", "keys that are switched off do nothing");
  assert.deepEqual(said.filter((words) => !words.includes("409")), []);
  await close();
}

// The same keys on the page of one file: what is held does not pass over the next one.
{
  const { tab, said, close } = await open("file-diff");
  const sent = [];
  await tab.route("**/viewed", (route) => {
    sent.push(new URLSearchParams(route.request().postData()).get("viewed"));
    route.fulfill({ status: 200, headers: { "x-fragment": "1", "content-type": "text/html" }, body: "3 of 6 viewed" });
  });
  await tab.route(/\/diff\?path=/, (route) => route.fulfill({ status: 204 }));
  const opened = [];
  tab.on("request", (request) => request.isNavigationRequest() && opened.push(new URL(request.url()).search));
  for (let held = 0; held < 3; held++) await tab.keyboard.down("v");
  await tab.keyboard.up("v");
  await tab.waitForSelector("button.tick[aria-pressed=true][name=unviewed]");
  assert.equal(sent.length, 1);
  assert.equal(await tab.locator("[data-viewed]").textContent(), "3 of 6 viewed");
  for (let held = 0; held < 3; held++) await tab.keyboard.down("n");
  await tab.keyboard.up("n");
  await tab.keyboard.press("k");
  await tab.waitForTimeout(300);
  assert.deepEqual(opened, ["?path=ab", "?path=a"]);
  assert.deepEqual(said, []);
  await close();
}
await browser.close();
site.close();
console.log("ok");
