// Serves the dumped pages on 127.0.0.1 with the headers the product sends (index.json has them).
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

const KINDS = { ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2" };

/** Starts on a port of the system's choice: {address, pages, close}. */
export async function serve(folder) {
  const { headers, live } = JSON.parse(fs.readFileSync(path.join(folder, "index.json"), "utf8"));
  // Other tests leave pages beside the samples.
  const pages = fs.readdirSync(folder).filter((name) => name.endsWith(".html")).map((name) => name.slice(0, -".html".length)).sort();
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    for (const [name, value] of headers) response.setHeader(name, value);
    if (pathname.endsWith("/live")) {
      // One fragment, as the product sends it, or what a test wants in its place; then silence. Late enough
      // that a test can tell the page's own steps from the new ones.
      response.writeHead(200, { "content-type": "text/event-stream" });
      const data = (site.fragment ?? live).split("\n").map((line) => `data: ${line}\n`).join("");
      setTimeout(() => response.write(`event: fragment\n${data}\n`), 700);
      return;
    }
    const file = path.join(folder, path.normalize(pathname));
    if (!file.startsWith(folder) || !fs.existsSync(file) || fs.statSync(file).isDirectory()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": KINDS[path.extname(file)] ?? "application/octet-stream" });
    response.end(fs.readFileSync(file));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const site = {
    address: `http://127.0.0.1:${server.address().port}`,
    pages,
    close: () => { server.closeAllConnections(); server.close(); },
  };
  return site;
}

/** Chromium from the system, without its own network habits. */
export const CHROMIUM = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
};

/** playwright-core and axe-core are found beside the set-up's other packages: NODE_MODULES names the folder. */
export async function libraries() {
  const { createRequire } = await import("node:module");
  const require = createRequire(path.join(path.resolve(process.env.NODE_MODULES ?? "node_modules"), "x.js"));
  return { chromium: require("playwright-core").chromium, axe: fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8") };
}

export const WIDTHS = [
  { width: 1440, height: 900, phone: false },
  { width: 390, height: 844, phone: true },
];
