// The viewer's dialog: over the whole window, a stage for the picture and a panel with what is known of it.
import { element, iconButton } from "./dom.js";
import { VARIATIONS } from "./viewer-actions.js";

const SIDE = "quiet icon-button";

function labelled(button, id, text) {
  button.id = id;
  if (text) button.append(element("span", { textContent: text }));
  return button;
}

const tool = (id, shape, label) => labelled(iconButton(shape, label, `${SIDE} tool`), id);

function action(id, shape, text, className = "secondary") {
  const button = iconButton(shape, text, className);
  button.removeAttribute("title"); // its text is there to be read
  button.removeAttribute("aria-label");
  return labelled(button, id, text);
}

function needing(scope, ...nodes) {
  for (const node of nodes) node.dataset.needs = scope;
  return nodes;
}

function named(node, label, role = "group") {
  node.setAttribute("role", role);
  node.setAttribute("aria-label", label);
  return node;
}

const box = (className, ...children) => element("div", { className }, ...children);

function layer(className, imageId) {
  return box(`layer ${className}`, element("img", { id: imageId, alt: "", draggable: false }));
}

function tools() {
  const zoom = named(box("tools zoom-tools",
    tool("viewer-smaller", "minus", "Smaller"),
    element("button", { type: "button", id: "viewer-fit", className: "quiet tool" }),
    tool("viewer-larger", "plus", "Larger")), "Size");
  const rest = box("tools",
    tool("viewer-compare", "compare", "Compare with another picture"),
    ...needing("submit", tool("viewer-favourite", "heart", "Favourite")),
    tool("viewer-keys", "keyboard", "Keys"),
    tool("viewer-info", "info", "What is known of it"));
  return box("viewer-top", box("tools", tool("viewer-close", "close", "Close")), zoom, rest);
}

function comparison() {
  return named(box("viewer-comparison",
    tool("viewer-other-previous", "left", "Another picture to compare with: the one before"),
    element("p", { id: "viewer-other-name" }),
    tool("viewer-other-next", "right", "Another picture to compare with: the one after"),
    element("button", { type: "button", id: "viewer-compare-end", className: "secondary", textContent: "Done" })), "Compared with");
}

function stage() {
  return element("div", { className: "viewer-stage", id: "viewer-stage" },
    layer("first", "viewer-image"), layer("second", "viewer-second"), tools(),
    labelled(iconButton("left", "Picture before", "viewer-step previous icon-button"), "viewer-previous"),
    labelled(iconButton("right", "Picture after", "viewer-step next icon-button"), "viewer-next"),
    comparison());
}

function labels() {
  const input = element("input", { id: "viewer-label", type: "text", dir: "auto", maxLength: 40, autocomplete: "off", placeholder: "Add a label" });
  input.setAttribute("list", "viewer-labels-known");
  input.setAttribute("aria-label", "Add a label");
  input.setAttribute("aria-describedby", "viewer-label-error");
  const form = element("form", { id: "viewer-label-form", className: "label-form" }, input,
    element("datalist", { id: "viewer-labels-known" }), element("button", { className: "secondary", textContent: "Add" }));
  return element("section", { className: "viewer-labels", id: "viewer-labels-section" },
    element("h3", { textContent: "Labels" }), element("ul", { id: "viewer-labels", className: "label-list" }), ...needing("submit", form),
    element("p", { id: "viewer-label-error", className: "error", hidden: true }));
}

function reuse() {
  const parts = [["prompt", "Prompt"], ["seed", "Seed"], ["size", "Size"], ["all", "All"]];
  const buttons = parts.map(([part, text]) => Object.assign(element("button", { type: "button", className: "secondary", textContent: text }), { value: part }));
  const group = named(box("viewer-use", element("span", { className: "hint", textContent: "Use again" }), ...buttons), "Use again: fills the bar and sends nothing");
  group.id = "viewer-use";
  return group;
}

function panel() {
  const aside = element("aside", { className: "viewer-panel", id: "viewer-panel" },
    element("h2", { id: "viewer-title", className: "visually-hidden", textContent: "Picture" }),
    element("p", { id: "viewer-prompt", className: "viewer-prompt", dir: "auto" }),
    element("p", { id: "viewer-left-out", className: "hint", dir: "auto", hidden: true }),
    box("viewer-making", ...needing("submit", action("viewer-vary", "vary", `Make ${VARIATIONS} variations`, "primary"), reuse())),
    box("viewer-actions",
      element("a", { id: "viewer-download", className: "secondary button" }),
      action("viewer-copy-picture", "copy", "Copy picture"),
      action("viewer-copy-link", "link", "Copy link"),
      action("viewer-copy-prompt", "text", "Copy prompt"),
      action("viewer-share", "share", "Share")),
    labels(),
    element("section", { id: "viewer-credentials-section", hidden: true },
      element("h3", { textContent: "Content credentials" }), element("dl", { id: "viewer-credentials", className: "facts" })),
    element("section", {}, element("h3", { id: "viewer-facts-title", textContent: "Facts" }), element("dl", { id: "viewer-facts", className: "facts" })),
    ...needing("admin", action("viewer-delete", "bin", "Delete", "danger")));
  return named(aside, "What is known of the picture", "complementary");
}

export function makeDialog() {
  const dialog = element("dialog", { id: "viewer", className: "viewer" }, stage(), panel(),
    element("p", { id: "viewer-announcer", className: "visually-hidden" }));
  dialog.lastElementChild.setAttribute("role", "status");
  dialog.setAttribute("aria-labelledby", "viewer-title");
  dialog.setAttribute("aria-describedby", "viewer-prompt");
  dialog.tabIndex = -1;
  document.body.append(dialog);
  return dialog;
}
