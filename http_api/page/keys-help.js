// The list of keys, under `?`.
import { byId, element } from "./dom.js";
import { KEYS } from "./keys.js";

export const VIEWER_KEYS = [
  ["← →", "The picture before, after; while it is enlarged, move it"],
  ["PgUp PgDn", "The picture before, after; or another one to compare with"],
  ["+ −", "Larger, smaller"],
  ["0", "Fit into the window"],
  ["1", "Real size"],
  ["I", "Show or hide what is known of it"],
  ["C", "Compare with another; then ← → move the divider"],
  ["V", "Make variations: the same words, new seeds"],
  ["U", "Use all of it in the bar"],
  ["F", "Favourite"],
  ["L", "Add a label"],
  ["D", "Download"],
  ["Del", "Delete"],
  ["Esc", "Back"],
];

const isWriting = (node) => node.matches?.("input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]");

function table(title, keys) {
  const rows = keys.map(([names, meaning]) => element("tr", {},
    element("th", { scope: "row" }, ...names.split(" ").map((name) => element("kbd", { textContent: name }))),
    element("td", { textContent: meaning })));
  return element("table", { className: "keys" }, element("caption", { textContent: title }), element("tbody", {}, ...rows));
}

function makeDialog() {
  const close = element("button", { type: "button", className: "secondary", textContent: "Close" });
  const dialog = element("dialog", { id: "keys", className: "keys-dialog" },
    element("h2", { id: "keys-title", textContent: "Keys" }),
    element("div", { className: "keys-tables" }, table("On the page", KEYS), table("While a picture is open", VIEWER_KEYS)),
    element("div", { className: "row" }, close));
  dialog.setAttribute("aria-labelledby", "keys-title");
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  return dialog;
}

export function showKeys() {
  const dialog = byId("keys") ?? makeDialog();
  if (!dialog.open) dialog.showModal();
}

export function startKeysHelp() {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
    event.preventDefault();
    showKeys();
  });
}
