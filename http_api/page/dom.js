// Small helpers. All text goes in as text: prompts are other people's data.
export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Writes only what is new: screen readers read a live region out whenever it is written.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, text) {
  write(node, text || "");
  node.hidden = !text;
}

export function announce(text) {
  byId("announcer").textContent = text;
}

const SHAPES = {
  close: "m6 6 12 12M18 6 6 18",
  heart: "M12 20s-7.5-4.6-7.5-10A4.3 4.3 0 0 1 12 7.2 4.3 4.3 0 0 1 19.5 10c0 5.4-7.5 10-7.5 10z",
  up: "m6 15 6-6 6 6",
  down: "m6 9 6 6 6-6",
  left: "m15 5-7 7 7 7",
  right: "m9 5 7 7-7 7",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  divide: "m9 7-5 5 5 5M15 7l5 5-5 5",
  compare: "M12 4v16M9 7H4v10h5M15 7h5v10h-5",
  keyboard: "M3 7h18v10H3zM7 10.5h.01M10.5 10.5h.01M14 10.5h.01M17.5 10.5h.01M8 14h8",
  info: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 1 0 0-17zM12 11v5.5M12 7.8h.01",
  vary: "M4 7h4l8 10h4m-3-3 3 3-3 3M4 17h4l2.2-2.8M13.8 9.8 16 7h4m-3-3 3 3-3 3",
  download: "M12 4v11m-5-5 5 5 5-5M5 20h14",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4.1 4.1 0 0 0-5.8-5.8l-1.5 1.5M14 10a4 4 0 0 0-6-.4l-3 3a4.1 4.1 0 0 0 5.8 5.8l1.5-1.5",
  text: "M5 6h14M5 12h14M5 18h9",
  share: "M12 15V4m-4 4 4-4 4 4M5 12v8h14v-8",
  bin: "M5 7h14M10 7V4.5h4V7m-7.5 0 1 12.5h9l1-12.5",
  grip: "M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

export function iconButton(name, label, className = "quiet icon-button") {
  const button = element("button", { type: "button", className, title: label }, icon(name));
  button.setAttribute("aria-label", label);
  return button;
}

export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 90) return `about ${Math.max(1, Math.round(value))} s`;
  if (value < 5400) return `about ${Math.round(value / 60)} min`;
  return `about ${Math.round(value / 3600)} h`;
}

export const plural = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// What this browser, or this tab, keeps for us; a browser may forbid it, and the page works without.
const keeper = (store) => ({
  read(name) {
    try { return store().getItem(name); } catch { return null; }
  },
  write(name, value) {
    try { if (value) store().setItem(name, value); else store().removeItem(name); } catch { /* kept only while this page is open */ }
  },
  // What was written as JSON; `fallback` where there is nothing, or something else of another kind.
  readJson(name, fallback) {
    try {
      const value = JSON.parse(this.read(name) ?? "null");
      return value !== null && Array.isArray(value) === Array.isArray(fallback) && typeof value === typeof fallback ? value : fallback;
    } catch {
      return fallback;
    }
  },
});
export const memory = keeper(() => localStorage);
export const tabMemory = keeper(() => sessionStorage);

export function makeCloseable(dialog, onClose = () => {}) {
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", onClose);
}

// A button that opens and closes what it controls; Escape closes it, too, and gives the focus back.
export function makeOpener(button, place, { onOpen = () => {}, close = null } = {}) {
  const set = (isOpen) => {
    button.setAttribute("aria-expanded", String(isOpen));
    if (close) close(isOpen); else place.hidden = !isOpen;
    if (isOpen) onOpen();
  };
  button.addEventListener("click", () => set(button.getAttribute("aria-expanded") !== "true"));
  for (const node of [button, place]) {
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || button.getAttribute("aria-expanded") !== "true") return;
      event.stopPropagation();
      set(false);
      button.focus();
    });
  }
  return set;
}
