// The models that the server has. Those of the last visit are known at once; the server's answer takes their place.
import * as api from "./api.js";
import { byId, element, memory } from "./dom.js";

const STORED = "cyberimage.models";
export let catalog = { models: {}, default: "" };

export const model = () => catalog.models[byId("model").value];
const usable = (key) => catalog.models[key] && catalog.models[key].available !== false;

// `onChange` is called whenever there are other models than before.
export async function loadModels(onChange) {
  take(memory.readJson(STORED, catalog), onChange);
  take(await api.models(), onChange);
  memory.write(STORED, JSON.stringify(catalog));
}

function take(found, onChange) {
  if (!found.models || JSON.stringify(found) === JSON.stringify(catalog)) return;
  catalog = found;
  const chosen = byId("model").value;
  byId("model").replaceChildren(...Object.entries(catalog.models).map(([key, entry]) => element("option", {
    value: key, disabled: entry.available === false, textContent: entry.available === false ? `${key} (not installed)` : key,
  })));
  byId("model").value = catalog.models[chosen] ? chosen : preferred();
  onChange();
}

export function preferred() {
  return usable(catalog.default) ? catalog.default : Object.keys(catalog.models).find(usable) ?? catalog.default;
}
