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

export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 90) return `about ${Math.max(1, Math.round(value))} s`;
  return `about ${Math.round(value / 60)} min`;
}

// What this browser keeps for us; a browser may forbid it, and the page works without.
export const memory = {
  read(name) {
    try { return localStorage.getItem(name); } catch { return null; }
  },
  write(name, value) {
    try { localStorage.setItem(name, value); } catch { /* kept only while this page is open */ }
  },
};

export function makeCloseable(dialog, onClose = () => {}) {
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", onClose);
}
