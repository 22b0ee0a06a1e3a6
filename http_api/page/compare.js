// Two pictures on one stage with a divider between them: dragged, or moved by the arrow keys (it is a slider).
import { element, icon } from "./dom.js";

const MIDDLE = 50; // percent of the stage's width

export function makeDivider(stage) {
  const slider = element("input", { type: "range", min: 0, max: 100, step: 1, value: MIDDLE, id: "viewer-divider" });
  slider.setAttribute("aria-label", "Divider: how much of the left picture is seen");
  const handle = element("div", { className: "divider" }, slider, element("span", { className: "knob" }, icon("divide")));
  handle.dataset.noPan = "";

  function move(percent) {
    slider.value = percent;
    stage.style.setProperty("--divide", slider.value);
    slider.setAttribute("aria-valuetext", `${slider.value} percent`);
  }

  function follow(event) {
    const box = stage.getBoundingClientRect();
    move(Math.round((100 * (event.clientX - box.left)) / box.width));
  }

  slider.addEventListener("input", () => move(slider.value));
  handle.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    event.preventDefault(); // the slider itself would take it as a place on its own small track
    slider.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    follow(event);
  });
  handle.addEventListener("pointermove", (event) => { if (handle.hasPointerCapture(event.pointerId)) follow(event); });
  handle.hidden = true;
  return {
    handle,
    start() {
      handle.hidden = false;
      move(MIDDLE);
      slider.focus({ preventScroll: true });
    },
    stop() { handle.hidden = true; },
    by(percent) {
      move(Number(slider.value) + percent);
      slider.focus({ preventScroll: true });
    },
  };
}

// What tells two pictures apart, as [name, of the left one, of the right one].
export function differences(left, right) {
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return names.filter((name) => left[name] !== right[name]).map((name) => [name, left[name] ?? "–", right[name] ?? "–"]);
}
