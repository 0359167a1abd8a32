// Runs axe-core on every dumped page, two widths, two colour schemes: node axe.mjs <target/pages>
// Fails on any violation of WCAG 2.2 A and AA or of axe's best practices.
import path from "node:path";
import { CHROMIUM, WIDTHS, libraries, serve } from "./serve.mjs";

const [folder, only = ""] = process.argv.slice(2);
const { chromium, axe } = await libraries();
const site = await serve(path.resolve(folder));
const browser = await chromium.launch(CHROMIUM);
let bad = 0;
let runs = 0;
const undecided = {};
for (const page of site.pages.filter((name) => name.includes(only) && !name.startsWith("hostile-"))) {
  for (const { width, height, phone } of WIDTHS) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport: { width, height }, colorScheme, isMobile: phone, hasTouch: phone, bypassCSP: true });
      const tab = await context.newPage();
      await tab.goto(`${site.address}/${page}.html`);
      await tab.evaluate(() => document.fonts.ready);
      await tab.evaluate(axe);
      const result = await tab.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
      runs += 1;
      bad += result.violations.length;
      for (const open of result.incomplete) undecided[open.id] = (undecided[open.id] ?? 0) + open.nodes.length;
      for (const violation of result.violations) {
        console.log(page, width, colorScheme, violation.id, violation.impact);
        for (const node of violation.nodes.slice(0, 3)) console.log("   ", node.target.join(" "), [...node.any, ...node.all, ...node.none][0]?.message?.slice(0, 160));
      }
      await context.close();
    }
  }
}
await browser.close();
site.close();
console.log(`${runs} runs, ${bad} violations; undecided: ${JSON.stringify(undecided)}`);
process.exit(bad ? 1 : 0);
