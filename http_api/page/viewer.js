// One picture, large, with everything needed to make it again. Its id is in the address.
import * as api from "./api.js";
import { fillFrom } from "./composer.js";
import { announce, byId, element, makeCloseable, show } from "./dom.js";
import { removeTile } from "./gallery.js";
import { save, showPicture } from "./picture.js";
import { SETTINGS } from "./settings.js";

let current = null;

export function startViewer() {
  makeCloseable(byId("viewer"), leaveAddress);
  byId("viewer-copy").addEventListener("click", copy);
  byId("viewer-again").addEventListener("click", () => reuse(true));
  byId("viewer-alike").addEventListener("click", () => reuse(false));
  byId("viewer-delete").addEventListener("click", remove);
  byId("viewer-download").addEventListener("click", download);
}

const shownId = () => new URLSearchParams(location.search).get("image");

function withImage(id) {
  const address = new URL(location);
  if (id) address.searchParams.set("image", id); else address.searchParams.delete("image");
  return address;
}

function enterAddress(id) {
  if (shownId() !== id) history.pushState({ isFromGallery: true }, "", withImage(id));
}

// Closing is going back, so that the back button never opens a picture that was closed.
function leaveAddress() {
  if (!shownId()) return;
  if (history.state?.isFromGallery) history.back(); else history.replaceState(null, "", withImage(null));
}

export async function followAddress() {
  const id = shownId();
  if (id) await openImage(id);
  else if (byId("viewer").open) byId("viewer").close();
}

export async function openImage(id) {
  let metadata;
  try {
    metadata = await api.metadata(id);
  } catch (error) {
    if (shownId()) history.replaceState(null, "", withImage(null));
    show(byId("banner"), error.status === 404 ? "This picture is gone, or never was." : error.message);
    return;
  }
  show(byId("banner"), "");
  current = { id, metadata };
  byId("viewer-image").removeAttribute("src"); // not the one before, while this one is on its way
  showPicture(byId("viewer-image"), api.imageAddress(id));
  byId("viewer-image").alt = metadata.prompt;
  byId("viewer-prompt").textContent = metadata.prompt;
  Object.assign(byId("viewer-download"), { href: api.imageAddress(id), download: `${id}.png` });
  show(byId("viewer-message"), "");
  byId("viewer-delete").textContent = "Delete";
  byId("viewer-facts").replaceChildren(...facts(metadata));
  enterAddress(id);
  if (!byId("viewer").open) byId("viewer").showModal();
}

function facts(metadata) {
  const { settings = {} } = metadata;
  const rows = {
    Model: metadata.model_id,
    "Left out": metadata.negative_prompt,
    Size: settings.width && `${settings.width} × ${settings.height}`,
    ...Object.fromEntries(SETTINGS.filter((setting) => setting.isFact).map(({ name, label }) => [label, settings[name]])),
    Seed: metadata.seed,
    Image: `${metadata.image_number} of ${metadata.total_images}`,
    Made: metadata.generation_time && new Date(metadata.generation_time * 1000).toLocaleString(),
    Took: metadata.duration_seconds && `${metadata.duration_seconds.toFixed(1)} s`,
    Device: metadata.device,
    Id: current.id,
  };
  return Object.entries(rows).filter(([, value]) => value !== undefined && value !== null && value !== "")
    .flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: String(value) })]);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(current.metadata.prompt);
    show(byId("viewer-message"), "The prompt is copied.");
  } catch {
    show(byId("viewer-message"), "The browser did not allow copying; select the text instead.");
  }
}

function reuse(keepSeed) {
  const { metadata } = current;
  byId("viewer").close();
  fillFrom(metadata, { keepSeed });
  byId("form").requestSubmit();
}

async function download(event) {
  try {
    await save(event, byId("viewer-download"));
  } catch (error) {
    show(byId("viewer-message"), error.message);
  }
}

async function remove() {
  const button = byId("viewer-delete");
  if (button.textContent === "Delete") {
    button.textContent = "Really delete?";
    show(byId("viewer-message"), "Deleting cannot be undone. Press again to delete.");
    return;
  }
  try {
    await api.removeImage(current.id);
  } catch (error) {
    show(byId("viewer-message"), error.message);
    return;
  }
  const next = removeTile(current.id);
  byId("viewer").close();
  (next ?? byId("search")).focus();
  announce("The picture is deleted.");
}
