// Zoom and pan of what lies on a stage, by wheel, pinch, drag and double click; and swiping, where nothing is zoomed.
// It writes three variables of style on the stage (--zoom, --pan-x, --pan-y), so that all pictures on it follow.
// A zoom of 1 fits the picture into the stage; positions are pixels from the stage's centre.

const CLOSEST = 8; // pixels of the screen for one of the picture
const SWIPE = 56; // pixels
export const FIT = Object.freeze({ zoom: 1, x: 0, y: 0 });

const between = (low, value, high) => Math.min(high, Math.max(low, value));

// How large a pixel of the picture is where it fits into the stage, of which a margin (x, y) is left free on each side.
export function fitOf(stage, picture) {
  const { x = 0, y = 0 } = stage;
  return Math.min((stage.width - 2 * x) / picture.width, (stage.height - 2 * y) / picture.height) || 1;
}

// Where a picture is shown after it was enlarged by `factor` around the point `at`, which stays where it is.
export function zoomed(view, factor, at, stage, picture) {
  const fit = fitOf(stage, picture);
  const zoom = between(Math.min(1, 1 / fit), view.zoom * factor, Math.max(4, CLOSEST / fit));
  const ratio = zoom / view.zoom;
  return panned({ zoom, x: at.x - (at.x - view.x) * ratio, y: at.y - (at.y - view.y) * ratio }, 0, 0, stage, picture);
}

// Moved, but never so that an edge of the picture leaves the edge of the stage without need.
export function panned(view, x, y, stage, picture) {
  const fit = fitOf(stage, picture);
  const room = (side) => Math.max(0, (picture[side] * fit * view.zoom - stage[side]) / 2);
  return {
    zoom: view.zoom,
    x: between(-room("width"), view.x + x, room("width")),
    y: between(-room("height"), view.y + y, room("height")),
  };
}

// `frame` is what the picture fits into: its layout says how much of the stage is left free.
export function startZoom(stage, frame, { onSwipe, onChange }) {
  const pointers = new Map();
  let view = FIT;
  let picture = { width: 1, height: 1 };
  let swipe = null;

  const area = () => {
    const { clientWidth: width, clientHeight: height } = stage;
    return { width, height, x: (width - frame.offsetWidth) / 2, y: (height - frame.offsetHeight) / 2 };
  };
  const isZoomed = () => Math.abs(view.zoom - 1) > 0.001;
  function show(next, isGliding = false) {
    view = next;
    stage.classList.toggle("gliding", isGliding);
    stage.classList.toggle("zoomed", isZoomed());
    stage.style.setProperty("--zoom", view.zoom);
    stage.style.setProperty("--pan-x", `${view.x}px`);
    stage.style.setProperty("--pan-y", `${view.y}px`);
    const size = view.zoom * fitOf(area(), picture); // of one pixel
    stage.classList.toggle("close", size >= 3);
    onChange({ isZoomed: isZoomed(), percent: Math.round(100 * size) });
  }
  const by = (factor, at = { x: 0, y: 0 }, isGliding = true) => show(zoomed(view, factor, at, area(), picture), isGliding);
  const fit = (isGliding = true) => show(FIT, isGliding);
  const real = (at) => by(1 / fitOf(area(), picture) / view.zoom, at);
  const pan = (x, y, isGliding = true) => show(panned(view, x, y, area(), picture), isGliding);

  function placeOf(event) {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left - box.width / 2, y: event.clientY - box.top - box.height / 2 };
  }

  const isControl = (event) => event.target.closest("button, input, a, [data-no-pan]");

  function down(event) {
    if (isControl(event) || event.button > 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, placeOf(event));
    const isSwipe = pointers.size === 1 && !isZoomed() && event.pointerType !== "mouse";
    swipe = isSwipe ? { from: placeOf(event), x: 0, y: 0 } : null;
    if (!swipe && pointers.size > 1) show(view);
  }

  function move(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = placeOf(event);
    if (pointers.size === 2) pinch(event.pointerId, before, now);
    else if (swipe) follow(now);
    else if (isZoomed()) pan(now.x - before.x, now.y - before.y, false);
    pointers.set(event.pointerId, now);
  }

  function pinch(id, before, now) {
    const [, other] = [...pointers].find(([key]) => key !== id);
    const distance = (place) => Math.max(1, Math.hypot(place.x - other.x, place.y - other.y));
    const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
    by(distance(now) / distance(before), middle, false);
    pan((now.x - before.x) / 2, (now.y - before.y) / 2, false);
  }

  function follow(now) {
    swipe.x = now.x - swipe.from.x;
    swipe.y = now.y - swipe.from.y;
    stage.classList.remove("gliding");
    stage.style.setProperty("--pan-x", `${swipe.x}px`);
  }

  function up(event) {
    if (!pointers.delete(event.pointerId)) return;
    if (swipe) {
      const { x, y } = swipe;
      swipe = null;
      fit();
      const isMeant = event.type === "pointerup" && Math.abs(x) > SWIPE && Math.abs(x) > 1.5 * Math.abs(y);
      if (isMeant) onSwipe(x < 0 ? 1 : -1);
    } else if (view.zoom < 1.02 && isZoomed() && view.zoom > Math.min(1, 1 / fitOf(area(), picture))) {
      fit();
    }
  }

  stage.addEventListener("pointerdown", down);
  stage.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, up);
  stage.addEventListener("dblclick", (event) => {
    if (isControl(event)) return;
    if (isZoomed()) return fit();
    const size = fitOf(area(), picture);
    return by(size < 0.8 ? 1 / size : 2.5, placeOf(event)); // its real size, where that is larger
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 30;
    by(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), placeOf(event), false);
  }, { passive: false });
  new ResizeObserver(() => show(panned(view, 0, 0, area(), picture))).observe(stage);

  return {
    by, fit, real, pan,
    isZoomed,
    // The size in pixels of the picture that is shown now.
    use(size) {
      picture = size;
      pointers.clear();
      swipe = null;
      fit(false);
    },
  };
}
