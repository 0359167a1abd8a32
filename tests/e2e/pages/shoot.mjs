// Photographs every dumped page: node shoot.mjs <target/pages> <pictures> [part of a name]
// Fails when a page is wider than its screen, or when the browser reports anything (content policy,
// Trusted Types, a missing file).
import fs from "node:fs";
import path from "node:path";
import { CHROMIUM, WIDTHS, libraries, serve } from "./serve.mjs";

const [folder, pictures, only = ""] = process.argv.slice(2);
const { chromium } = await libraries();
const site = await serve(path.resolve(folder));
const browser = await chromium.launch(CHROMIUM);
fs.mkdirSync(pictures, { recursive: true });
let faults = 0;
for (const page of site.pages.filter((name) => name.includes(only))) {
  for (const { width, height, phone } of WIDTHS) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport: { width, height }, colorScheme, isMobile: phone, hasTouch: phone });
      const tab = await context.newPage();
      const said = [];
      tab.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text().slice(0, 200)));
      tab.on("pageerror", (error) => said.push(String(error).slice(0, 200)));
      await tab.goto(`${site.address}/${page}.html`, { waitUntil: "load" });
      await tab.evaluate(() => document.fonts.ready);
      const wide = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      const name = `${page}-${width}-${colorScheme}`;
      if (!page.startsWith("hostile-") || only) {
        await tab.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
      }
      if (wide > 0 || said.length) {
        faults += 1;
        console.log(name, "wider by", wide, said);
      }
      await context.close();
    }
  }
}
await browser.close();
site.close();
console.log(`${site.pages.length} pages, ${faults} with faults`);
process.exit(faults ? 1 : 0);
