// A message that goes by itself when what it says is past; while somebody reads or uses it, it stays.
import { byId, element } from "./dom.js";

const SECONDS = 5;

// Returns what takes it away. `run` is called if its button is pressed, `onGone` when it has gone without that.
// An open dialog lies over all of the page: messages belong in the one on top.
function place() {
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  (dialog ?? document.body).append(byId("toasts"));
  dialog?.addEventListener("close", place, { once: true });
}

export function toast(text, { label = "", run = () => {}, seconds = SECONDS, onGone = () => {} } = {}) {
  const node = element("div", { className: "toast" }, element("span", { textContent: text }));
  let timer = 0;
  const leave = () => { clearTimeout(timer); node.remove(); };
  const wait = () => { clearTimeout(timer); timer = setTimeout(() => { leave(); onGone(); }, seconds * 1000); };
  if (label) {
    const button = element("button", { type: "button", textContent: label });
    button.addEventListener("click", () => { leave(); run(); });
    node.append(button);
  }
  for (const name of ["pointerenter", "focusin"]) node.addEventListener(name, () => clearTimeout(timer));
  for (const name of ["pointerleave", "focusout"]) node.addEventListener(name, wait);
  place();
  byId("toasts").append(node);
  while (byId("toasts").children.length > 3) byId("toasts").firstElementChild.remove();
  wait();
  return leave;
}
