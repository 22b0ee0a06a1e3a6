// The gallery: endless scrolling, with search and model in the address so that they can be shared.
import * as api from "./api.js";
import { byId, element, write } from "./dom.js";
import { showLazily } from "./picture.js";

const state = { key: null, hasMore: false, hasFailed: false, isLoading: false, generation: 0, skipped: 0, ids: new Set() };
let open = () => {};
let scrolling = null;

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
  byId("more").addEventListener("click", moreByButton);
  scrolling = new IntersectionObserver((entries) => { if (entries.at(-1).isIntersecting) loadMore(); }, { rootMargin: "600px" });
  showFilters();
  return reload();
}

function applyFilters() {
  const address = new URL(location);
  for (const [name, id] of [["search", "search"], ["model", "model-filter"]]) {
    const value = byId(id).value.trim();
    if (value) address.searchParams.set(name, value); else address.searchParams.delete(name);
  }
  if (address.href === location.href) return;
  history.pushState(null, "", address);
  reload();
}

function showFilters() {
  byId("search").value = filters().search;
  byId("model-filter").value = filters().model;
}

// After the back button: the list stays as it is, and where it is, unless it should show others.
export async function followFilters() {
  showFilters();
  if (JSON.stringify(filters()) !== state.key) await reload();
}

async function reload() {
  Object.assign(state, {
    key: JSON.stringify(filters()), hasMore: true, isLoading: false, generation: state.generation + 1, skipped: 0, ids: new Set(),
  });
  byId("gallery").replaceChildren();
  await loadMore();
}

// New pictures go in front; those that are shown stay, with the focus and the scrolled place.
export async function refresh() {
  if (state.hasFailed) return reload();
  const generation = state.generation;
  const answer = await api.gallery({ page: 1, ...filters() });
  if (generation !== state.generation) return undefined;
  const fresh = answer.images.filter((image) => !state.ids.has(image.id));
  if (fresh.length && fresh.length === answer.images.length) return reload();
  for (const image of fresh) state.ids.add(image.id);
  byId("gallery").prepend(...fresh.map(tile));
  return describe(answer.total);
}

// The page is counted from what is shown: pictures that came or went meanwhile shift the server's pages.
async function loadMore() {
  if (state.isLoading || !state.hasMore) return;
  state.isLoading = true;
  const generation = state.generation;
  scrolling.unobserve(byId("more"));
  try {
    const page = Math.floor(state.ids.size / api.PAGE) + 1 + state.skipped;
    const answer = await api.gallery({ page, ...filters() });
    if (generation !== state.generation) return;
    Object.assign(state, { hasMore: answer.has_more, hasFailed: false });
    state.skipped = append(answer.images) ? 0 : state.skipped + 1;
    describe(answer.total);
  } catch (error) {
    if (generation !== state.generation) return;
    Object.assign(state, { hasMore: false, hasFailed: true });
    describe(null, error.message);
  } finally {
    if (generation === state.generation) {
      state.isLoading = false;
      byId("more").hidden = !state.hasMore;
      if (state.hasMore) scrolling.observe(byId("more")); // again: it reports at once if the end is still near
    }
  }
}

// Somebody who pressed the button goes on from the first of the new pictures.
async function moreByButton() {
  const before = byId("gallery").children.length;
  await loadMore();
  byId("gallery").children[before]?.querySelector("button").focus();
}

function append(images) {
  const fresh = images.filter((image) => !state.ids.has(image.id));
  for (const image of fresh) state.ids.add(image.id);
  byId("gallery").append(...fresh.map(tile));
  return fresh.length;
}

function tile(image) {
  const picture = element("img", { alt: "", loading: "lazy", width: 256, height: 256 });
  showLazily(picture, api.thumbnailAddress(image.id));
  const button = element("button", { type: "button", className: "tile" }, picture, element("span", { textContent: image.prompt }));
  button.setAttribute("aria-label", `Open: ${image.prompt}`);
  button.addEventListener("click", () => open(image.id));
  const item = element("li", {}, button);
  item.dataset.image = image.id;
  return item;
}

// Answers the picture that takes the place of the removed one.
export function removeTile(id) {
  const item = document.querySelector(`li[data-image="${CSS.escape(id)}"]`);
  const next = item?.nextElementSibling || item?.previousElementSibling;
  item?.remove();
  state.ids.delete(id);
  refresh().catch((error) => describe(null, error.message));
  return next?.querySelector("button") ?? null;
}

function describe(total, problem = "") {
  const { search, model } = filters();
  const isFiltered = Boolean(search || model);
  write(byId("gallery-count"), problem || (total ? `${total} picture${total === 1 ? "" : "s"}${isFiltered ? " found" : ""}` : ""));
  byId("empty").hidden = Boolean(problem) || total !== 0;
  byId("empty-title").textContent = isFiltered ? "Nothing found" : "No pictures yet";
  byId("examples").hidden = isFiltered;
  byId("empty-text").textContent = isFiltered
    ? "Every word must occur in the prompt or the model's name."
    : "Describe one, and it will appear here. For example:";
}
