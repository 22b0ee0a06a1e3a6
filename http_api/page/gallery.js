// The gallery: endless scrolling, with search and model in the address so that they can be shared.
import * as api from "./api.js";
import { byId, element } from "./dom.js";

const state = { page: 0, hasMore: false, isLoading: false, generation: 0, ids: new Set() };
let open = () => {};

export const filters = () => {
  const query = new URLSearchParams(location.search);
  return { search: query.get("search") || "", model: query.get("model") || "" };
};

export function startGallery(onOpen, models) {
  open = onOpen;
  byId("model-filter").replaceChildren(
    element("option", { value: "", textContent: "All models" }),
    ...Object.keys(models).map((key) => element("option", { value: key, textContent: key })),
  );
  byId("filters").addEventListener("submit", (event) => { event.preventDefault(); applyFilters(); });
  let typing = 0;
  byId("search").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(applyFilters, 300); });
  byId("model-filter").addEventListener("change", applyFilters);
  byId("more").addEventListener("click", loadMore);
  new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) loadMore(); }, { rootMargin: "600px" })
    .observe(byId("more"));
  showFilters();
  return reload();
}

function applyFilters() {
  const address = new URL(location);
  for (const [name, id] of [["search", "search"], ["model", "model-filter"]]) {
    const value = byId(id).value.trim();
    if (value) address.searchParams.set(name, value); else address.searchParams.delete(name);
  }
  if (address.href !== location.href) history.pushState(null, "", address);
  reload();
}

export function showFilters() {
  byId("search").value = filters().search;
  byId("model-filter").value = filters().model;
}

export async function reload() {
  Object.assign(state, { page: 0, hasMore: true, isLoading: false, generation: state.generation + 1, ids: new Set() });
  byId("gallery").replaceChildren();
  await loadMore();
}

async function loadMore() {
  if (state.isLoading || !state.hasMore) return;
  state.isLoading = true;
  const generation = state.generation;
  try {
    const answer = await api.gallery({ page: state.page + 1, ...filters() });
    if (generation !== state.generation) return;
    state.page += 1;
    state.hasMore = answer.has_more;
    append(answer.images);
    describe(answer.total);
  } catch (error) {
    state.hasMore = false;
    describe(null, error.message);
  } finally {
    if (generation === state.generation) state.isLoading = false;
    byId("more").hidden = !state.hasMore;
  }
}

function append(images) {
  const fresh = images.filter((image) => !state.ids.has(image.id));
  for (const image of fresh) state.ids.add(image.id);
  byId("gallery").append(...fresh.map(tile));
}

function tile(image) {
  const picture = element("img", { src: api.thumbnailAddress(image.id), alt: "", loading: "lazy", width: 256, height: 256 });
  const button = element("button", { type: "button", className: "tile" }, picture, element("span", { textContent: image.prompt }));
  button.setAttribute("aria-label", `Open: ${image.prompt}`);
  button.addEventListener("click", () => open(image.id));
  const item = element("li", {}, button);
  item.dataset.image = image.id;
  return item;
}

export function removeTile(id) {
  document.querySelector(`li[data-image="${CSS.escape(id)}"]`)?.remove();
  state.ids.delete(id);
  if (!state.ids.size) reload();
}

function describe(total, problem = "") {
  const { search, model } = filters();
  const isFiltered = Boolean(search || model);
  byId("gallery-count").textContent = problem || (total ? `${total} picture${total === 1 ? "" : "s"}${isFiltered ? " found" : ""}` : "");
  byId("empty").hidden = Boolean(problem) || total !== 0;
  byId("empty-title").textContent = isFiltered ? "Nothing found" : "No pictures yet";
  byId("empty-text").textContent = isFiltered
    ? "Every word must occur in the prompt or the model's name."
    : "Describe one on this page, and it will appear here.";
}
