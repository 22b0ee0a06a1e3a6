// What of the gallery is shown: kept in the address, so that it can be shared, and gone back from in one step.
import * as api from "./api.js";
import { byId, element, write } from "./dom.js";

const PAUSE = 250; // ms without typing until a search is begun
// Name in the address and the API: its control.
const CONTROLS = { search: "search", favourite: "favourite-filter", label: "label-filter", model: "model-filter", sort: "sort" };
let isTyping = false; // within one search, which is one entry of the history
let onChange = () => {};

export function filters() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(Object.keys(CONTROLS).filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
}

export const isFiltered = () => Object.keys(filters()).some((name) => name !== "sort");

export function startFilters(listener) {
  onChange = listener;
  let timer = 0;
  byId("filters").addEventListener("submit", (event) => { event.preventDefault(); apply(); isTyping = false; });
  byId("search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, PAUSE, true); });
  byId("search").addEventListener("blur", () => { isTyping = false; });
  for (const name of ["favourite", "label", "model", "sort"]) byId(CONTROLS[name]).addEventListener("change", () => apply());
  byId("show-all").addEventListener("click", () => { setAll({}); apply(); byId("search").focus(); });
  window.addEventListener("popstate", () => { isTyping = false; showFilters(); onChange(); });
  showFilters();
}

const valueOf = (control) => (control.type === "checkbox" ? (control.checked ? "true" : "") : control.value.trim());

function setAll(values) {
  for (const [name, id] of Object.entries(CONTROLS)) {
    const control = byId(id);
    if (control.type === "checkbox") control.checked = values[name] === "true";
    else if (control.tagName === "SELECT") choose(control, values[name] ?? "");
    else control.value = values[name] ?? "";
  }
}

// A choice of the address may be one that the page does not know (yet).
function choose(select, value) {
  if (value && ![...select.options].some((option) => option.value === value)) select.append(element("option", { value, textContent: value }));
  select.value = value;
  if (select.id === "label-filter" && value) select.hidden = false;
}

export const showFilters = () => setAll(filters());

function apply(isSearch = false) {
  const address = new URL(location);
  for (const [name, id] of Object.entries(CONTROLS)) {
    const value = valueOf(byId(id));
    if (value) address.searchParams.set(name, value); else address.searchParams.delete(name);
  }
  if (address.href === location.href) return;
  if (isSearch && isTyping) history.replaceState(history.state, "", address); else history.pushState(null, "", address);
  isTyping = isSearch;
  onChange();
}

export function offerModels(names) {
  const chosen = filters().model ?? "";
  byId("model-filter").replaceChildren(
    element("option", { value: "", textContent: "All models" }), ...names.map((name) => element("option", { value: name, textContent: name })));
  choose(byId("model-filter"), chosen);
  byId("model-filter").hidden = names.length < 2 && !chosen;
}

export async function offerLabels() {
  let found;
  try {
    found = (await api.labels()).labels;
  } catch {
    return; // the filter stays as it is
  }
  const chosen = filters().label ?? "";
  byId("label-filter").replaceChildren(element("option", { value: "", textContent: "All labels" }),
    ...found.map(({ label, images }) => element("option", { value: label, textContent: `${label} (${images})` })));
  byId("label-filter").hidden = !found.length && !chosen;
  choose(byId("label-filter"), chosen);
}

// Whether a picture that just came belongs to what is shown.
export function fits(image) {
  const { search = "", model, favourite, label } = filters();
  const text = `${image.prompt} ${image.model_id}`.toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word)) && (!model || image.model_id === model)
    && (!favourite || image.favourite) && (!label || image.labels?.includes(label));
}

export function describe(total, problem = "") {
  const many = total === null || total === undefined ? "" : total.toLocaleString("en");
  write(byId("gallery-count"), problem || (total ? `${many}${isFiltered() ? " found" : ""}` : ""));
  byId("empty").hidden = Boolean(problem) || total !== 0;
  byId("examples").hidden = byId("show-all").hidden = false;
  byId(isFiltered() ? "examples" : "show-all").hidden = true;
  byId("empty-title").textContent = isFiltered() ? "Nothing found" : "No pictures yet";
  byId("empty-text").textContent = isFiltered()
    ? "Every word must occur in the picture's words or its model's name."
    : "Say what one should show, and it will appear here. For example:";
}
