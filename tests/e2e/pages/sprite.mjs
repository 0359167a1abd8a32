// Builds static/icons.svg from lucide-static: `node sprite.mjs <lucide-static folder> <icon sprite>`.
// Run by hand when an icon is added; the sprite is committed, so a build needs no npm.
import fs from "node:fs";

const ICONS = `arrow-right badge-check ban bot bug check chevron-right circle-alert circle-check circle-dashed
circle-question-mark clock copy download ellipsis file-badge file-diff file-text fingerprint-pattern hard-drive
heart-pulse history hourglass inbox info key-round landmark link list-checks loader lock log-out menu monitor moon
octagon-x package pause plus printer refresh-cw replace scale search shield-alert shield-check siren stamp sun tag
terminal timer timer-off triangle-alert upload user-plus users workflow`.split(/\s+/);

const [folder, sprite] = process.argv.slice(2);
const symbols = ICONS.map((name) => {
  const body = fs.readFileSync(`${folder}/icons/${name}.svg`, "utf8").replace(/<!--.*?-->/gs, "").replace(/^[\s\S]*?<svg[^>]*>/, "").replace("</svg>", "");
  const shapes = body.split("\n").map((line) => line.trim()).filter(Boolean).join("");
  return `<symbol id="i-${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">${shapes}</symbol>`;
});
fs.writeFileSync(sprite, `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`);
