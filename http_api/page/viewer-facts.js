// What is known of a picture, in words.
import { byId, element, show } from "./dom.js";
import { SETTINGS } from "./settings.js";

const DAY = { dateStyle: "medium", timeStyle: "short" };

// As { name: value }, without what is not known; `image` is metadata, or a picture of the gallery, which knows less.
export function factsOf(image) {
  const { settings = {} } = image;
  const made = image.created_at ?? (image.generation_time && image.generation_time * 1000);
  const rows = {
    Model: image.model_id,
    Size: image.width && `${image.width} × ${image.height}`,
    Seed: image.seed,
    ...Object.fromEntries(SETTINGS.filter((setting) => setting.isFact).map(({ name, label }) => [label, settings[name]])),
    Scheduler: image.scheduler,
    Image: image.total_images > 1 ? `${image.image_number} of ${image.total_images}` : undefined,
    Made: made && new Date(made).toLocaleString("en", DAY),
    Took: image.duration_seconds && `${image.duration_seconds.toFixed(1)} s`,
    Device: image.device,
    File: image.size_bytes && `PNG, ${bytes(image.size_bytes)}`,
    Id: image.id,
  };
  const isKnown = ([, value]) => value !== undefined && value !== null && value !== "";
  return Object.fromEntries(Object.entries(rows).filter(isKnown).map(([name, value]) => [name, String(value)]));
}

function bytes(number) {
  return number < 1e6 ? `${Math.max(1, Math.round(number / 1e3))} kB` : `${(number / 1e6).toFixed(1)} MB`;
}

export function showFacts(image) {
  byId("viewer-facts-title").textContent = "Facts";
  byId("viewer-facts").replaceChildren(...rows(Object.entries(factsOf(image))));
  show(byId("viewer-left-out"), image.negative_prompt && `Left out: ${image.negative_prompt}`);
  const credentials = Object.entries(flat(image.credentials));
  byId("viewer-credentials-section").hidden = credentials.length === 0;
  byId("viewer-credentials").replaceChildren(...rows(credentials));
}

// Of two pictures, only what tells them apart.
export function showDifferences(found) {
  byId("viewer-facts-title").textContent = found.length ? "What differs" : "Nothing differs";
  byId("viewer-facts").replaceChildren(...found.flatMap(([name, left, right]) => [
    element("dt", { textContent: name }),
    element("dd", {}, element("span", { textContent: left }), element("span", { className: "hint", textContent: " ↔ " }), element("span", { textContent: right })),
  ]));
}

const rows = (entries) => entries.flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })]);

// Content credentials (C2PA) as plain rows: what is nested is named by its path.
function flat(value, path = "") {
  if (value === undefined || value === null || value === "") return {};
  if (typeof value === "string" && !path) return { State: value };
  if (typeof value !== "object") return { [inWords(path)]: value === true ? "yes" : value === false ? "no" : String(value) };
  if (Array.isArray(value) && value.every((it) => typeof it !== "object")) return { [inWords(path)]: value.join(", ") };
  return Object.assign({}, ...Object.entries(value).map(([name, it]) => flat(it, path ? `${path} ${name}` : name)));
}

function inWords(path) {
  const words = path.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
