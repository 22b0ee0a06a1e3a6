// The keys of the viewer; keys-help.js lists them.
import { may } from "./key.js";

const PAN = 80; // pixels
const DIVIDE = 5; // percent
const isWriting = (node) => node.matches?.("input:not([type=range]), textarea, select");

export function startViewerKeys(dialog, on) {
  const aside = (direction) => {
    if (on.isComparing()) on.divider.by(DIVIDE * direction);
    else if (on.zoom.isZoomed()) on.zoom.pan(-PAN * direction, 0);
    else on.step(direction);
  };
  const turn = (direction) => { if (on.isComparing()) on.stepOther(direction); else on.step(direction); };
  const isUsed = true;
  const upright = (direction) => {
    if (!on.zoom.isZoomed()) return !isUsed; // the panel scrolls
    on.zoom.pan(0, -PAN * direction);
    return isUsed;
  };
  const needing = (scope, act) => () => { if (may(scope)) act(); };
  const keys = {
    ArrowLeft: () => aside(-1), ArrowRight: () => aside(1), ArrowUp: () => upright(-1), ArrowDown: () => upright(1),
    PageUp: () => turn(-1), PageDown: () => turn(1),
    "+": () => on.zoom.by(1.5), "=": () => on.zoom.by(1.5), "-": () => on.zoom.by(1 / 1.5), 0: () => on.zoom.fit(), 1: () => on.zoom.real(),
    Escape: () => back(dialog, on),
  };
  const once = { // never again and again while the key is held
    i: on.togglePanel, c: on.toggleComparison, d: on.download,
    v: needing("submit", on.vary), u: needing("submit", () => on.use("all")), f: needing("submit", on.favourite), l: needing("submit", on.editLabels),
    Delete: needing("admin", on.remove),
  };
  document.addEventListener("keydown", (event) => {
    const place = event.target.closest?.("dialog");
    if (!dialog.open || (place && place !== dialog) || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (isWriting(event.target) && name !== "Escape") return;
    const act = keys[name] ?? (event.repeat ? null : once[name]);
    if (act && act() !== !isUsed) event.preventDefault();
  });
}

// One thing after the other: the field, the comparison, the enlarged picture, the viewer.
function back(dialog, on) {
  if (isWriting(document.activeElement)) dialog.focus();
  else if (on.isComparing()) on.toggleComparison();
  else if (on.zoom.isZoomed()) on.zoom.fit();
  else on.close();
}
