// The shapes of a picture as buttons: each is a size that the model allows, as large as its own pictures are.
import { byId } from "./dom.js";
import { model } from "./models.js";

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
