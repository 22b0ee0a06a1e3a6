// The models that the server has, and the shapes that they can draw. Those of the last visit are known at once; the server's answer takes their place.
import * as api from "./api.js";
import { byId, element, memory } from "./dom.js";

const STORED = "cyberimage.models";
export let catalog = { models: {}, default: "" };

export const model = () => catalog.models[byId("model").value];
const usable = (key) => catalog.models[key] && catalog.models[key].available !== false;

// `onChange` is called whenever there are other models than before.
export async function loadModels(onChange) {
  take(memory.readJson(STORED, catalog), onChange);
  take(await api.models(), onChange);
  memory.write(STORED, JSON.stringify(catalog));
}

function take(found, onChange) {
  if (!found.models || JSON.stringify(found) === JSON.stringify(catalog)) return;
  catalog = found;
  const chosen = byId("model").value;
  byId("model").replaceChildren(...Object.entries(catalog.models).map(([key, entry]) => element("option", {
    value: key, disabled: entry.available === false, textContent: entry.available === false ? `${key} (not installed)` : key,
  })));
  byId("model").value = catalog.models[chosen] ? chosen : preferred();
  onChange();
}

export function preferred() {
  return usable(catalog.default) ? catalog.default : Object.keys(catalog.models).find(usable) ?? catalog.default;
}

// The shapes of a picture as buttons: each is a size that the model allows, as large as its own pictures are.
const radios = () => [...byId("shapes").querySelectorAll("input")];
const NAMES = { "1:1": "Square", "3:2": "Landscape", "2:3": "Portrait", "16:9": "Wide", "9:16": "Tall" };

// The sides in pixels, or null where the model cannot draw about this shape.
export function sizeOf(shape, { defaults, limits }) {
  const [a, b] = shape.split(":").map(Number);
  const { size_multiple: step, min_side: least, max_side: most, max_pixels: pixels } = limits;
  const ratio = Math.max(a, b) / Math.min(a, b);
  const lowest = Math.ceil(least / step) * step;
  const snap = (side) => Math.min(Math.max(Math.round(side / step) * step, lowest), Math.floor(most / step) * step);
  let short = snap(Math.sqrt((defaults.width * defaults.height) / ratio));
  let long = snap(short * ratio);
  while (long * short > pixels && long > lowest) {
    short = snap(short - step);
    long = Math.min(snap(short * ratio), long - step);
  }
  if (long * short > pixels || Math.abs(long / short / ratio - 1) > 0.2) return null;
  return a < b ? { width: short, height: long } : { width: long, height: short };
}

export function startShapes(onChange) {
  byId("shapes").addEventListener("change", (event) => {
    const size = model() && sizeOf(event.target.value, model());
    if (!size) return;
    byId("width").value = size.width;
    byId("height").value = size.height;
    onChange();
  });
}

// Shows what of the shapes this model can draw, and which one the fields hold.
export function showShapes() {
  const entry = model();
  for (const radio of radios()) {
    const size = entry && sizeOf(radio.value, entry);
    radio.disabled = Boolean(entry) && !size;
    radio.checked = Boolean(size) && Number(byId("width").value) === size.width && Number(byId("height").value) === size.height;
    radio.closest("label").title = size ? `${NAMES[radio.value]}, ${size.width} × ${size.height}` : NAMES[radio.value];
  }
}
