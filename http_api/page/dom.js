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

// What this browser, or this tab, keeps for us; a browser may forbid it, and the page works without.
const keeper = (store) => ({
  read(name) {
    try { return store().getItem(name); } catch { return null; }
  },
  write(name, value) {
    try { if (value) store().setItem(name, value); else store().removeItem(name); } catch { /* kept only while this page is open */ }
  },
});
export const memory = keeper(() => localStorage);
export const tabMemory = keeper(() => sessionStorage);

export function makeCloseable(dialog, onClose = () => {}) {
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", onClose);
}
