// Puts the gallery's tiles where they belong. Only those near the screen are in the page, however many there are; what
// moves is moved by a transform, so that it glides, and whoever has scrolled down keeps the place that is looked at.
import { byId } from "./dom.js";
import { arrange, wantedHeight } from "./rows.js";
import { drawTile, makeTile } from "./tile.js";

const shown = new Map(); // key: element
let placed = { tiles: [], height: 0 };
let source = () => ({ fresh: [], base: [], isWhole: true });
let isChosen = () => false;
let onNearEnd = () => {};
let width = 0;
let frame = 0;

// `entries()` gives { fresh, base, isWhole }, `chosen(entry)` whether its mark is set; `nearEnd` is called when more is needed.
export function startWall(entries, chosen, nearEnd) {
  source = entries;
  isChosen = chosen;
  onNearEnd = nearEnd;
  new ResizeObserver(() => { if (byId("gallery").clientWidth !== width) arrangeTiles({ glides: false }); }).observe(byId("gallery"));
  document.addEventListener("scroll", () => { frame ||= requestAnimationFrame(() => { frame = 0; update(); }); }, { passive: true });
}

export const tiles = () => placed.tiles;
export const elementOf = (key) => shown.get(key);

const topOfWall = () => byId("gallery").getBoundingClientRect().top;

// After entries came, went or changed.
export function arrangeTiles({ glides = true } = {}) {
  const wall = byId("gallery");
  width = wall.clientWidth;
  if (!width) return;
  const top = topOfWall();
  const anchor = top < 0 ? placed.tiles.find((tile) => tile.y + tile.h > -top) : null;
  const { fresh, base, isWhole } = source();
  placed = arrange({ fresh, base }, { width, wanted: wantedHeight(width), isWhole });
  wall.style.height = `${placed.height}px`;
  const now = anchor && placed.tiles.find(({ entry }) => entry.key === anchor.entry.key);
  const moved = now ? now.y - anchor.y : 0;
  wall.classList.toggle("glides", glides && !moved);
  if (moved) window.scrollBy({ top: moved, behavior: "instant" });
  update();
}

// Draws the tiles that are near the screen, in the order in which they are shown, so that Tab follows it.
export function update() {
  const wall = byId("gallery");
  const top = topOfWall();
  const from = -top - window.innerHeight;
  const to = -top + 2 * window.innerHeight;
  const wanted = new Map();
  for (let at = firstFrom(from); at < placed.tiles.length && placed.tiles[at].y < to; at += 1) wanted.set(placed.tiles[at].entry.key, at);
  for (const [key, tile] of shown) {
    if (wanted.has(key)) continue;
    const at = tile.contains(document.activeElement) ? placed.tiles.findIndex(({ entry }) => entry.key === key) : -1;
    if (at >= 0) {
      wanted.set(key, at); // the keyboard is in it
      continue;
    }
    shown.delete(key);
    tile.remove();
  }
  let before = null;
  for (const [key, at] of [...wanted].sort((one, other) => one[1] - other[1])) {
    const made = shown.get(key) ?? makeTile(placed.tiles[at].entry);
    place(made, placed.tiles[at], at);
    shown.set(key, made);
    const next = before ? before.nextElementSibling : wall.firstElementChild;
    if (next !== made) wall.insertBefore(made, next);
    before = made;
  }
  if (to + window.innerHeight > placed.height) onNearEnd();
}

function firstFrom(y) {
  let low = 0;
  let high = placed.tiles.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (placed.tiles[middle].y + placed.tiles[middle].h < y) low = middle + 1; else high = middle;
  }
  return low;
}

function place(tile, { entry, x, y, w, h, first, last }, at) {
  tile.style.transform = `translate(${x}px, ${y}px)`;
  tile.style.width = `${w}px`;
  tile.style.height = `${h}px`;
  tile.classList.toggle("first", first);
  tile.classList.toggle("last", last);
  tile.setAttribute("aria-posinset", at + 1);
  tile.setAttribute("aria-setsize", placed.tiles.length);
  drawTile(tile, entry, isChosen(entry));
}

// Only what the tiles say, where they lie as before.
export function redraw() {
  for (const tile of placed.tiles) {
    const drawn = shown.get(tile.entry.key);
    if (drawn) drawTile(drawn, tile.entry, isChosen(tile.entry));
  }
}

export const tileAt = (node) => {
  const key = node.closest?.(".tile")?.dataset.key;
  return key ? placed.tiles.findIndex(({ entry }) => entry.key === key) : -1;
};

export function focusTile(at) {
  const tile = placed.tiles[at];
  if (!tile) return;
  const top = topOfWall();
  if (tile.y + top < byId("dock").offsetHeight || tile.y + tile.h + top > window.innerHeight) {
    window.scrollBy({ top: tile.y + top - window.innerHeight / 3, behavior: "instant" });
  }
  update();
  const made = shown.get(tile.entry.key);
  (made?.querySelector(".open") ?? made?.querySelector("button"))?.focus({ preventScroll: true });
}

// The tile above (-1) or below (1) a tile: the one of the next row that is nearest to its middle.
export function neighbourRow(at, direction) {
  const here = placed.tiles[at];
  const middle = here.x + here.w / 2;
  let best = -1;
  let row = null;
  for (let other = at + direction; placed.tiles[other]; other += direction) {
    const tile = placed.tiles[other];
    if (tile.y === here.y) continue;
    row ??= tile.y;
    if (tile.y !== row) break;
    const distance = Math.abs(tile.x + tile.w / 2 - middle);
    if (best < 0 || distance < Math.abs(placed.tiles[best].x + placed.tiles[best].w / 2 - middle)) best = other;
  }
  return best;
}
