// Small helpers. All text goes in as text: prompts are other people's data.
export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function show(node, text) {
  node.textContent = text || "";
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

export function makeCloseable(dialog, onClose = () => {}) {
  for (const button of dialog.querySelectorAll("[data-close]")) button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", onClose);
}
