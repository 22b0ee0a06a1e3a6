// The page's beginning: wires the parts together.
import { startComposer } from "./composer.js";
import { byId, makeCloseable, show } from "./dom.js";
import { reload, showFilters, startGallery } from "./gallery.js";
import { startJobs, track } from "./jobs.js";
import { followAddress, openImage, startViewer } from "./viewer.js";

const THEME = "cyberimage.theme";

function startTheme() {
  const stored = localStorage.getItem(THEME);
  if (stored) document.documentElement.dataset.theme = stored;
  byId("theme").addEventListener("click", () => {
    const isDark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem(THEME, document.documentElement.dataset.theme);
  });
}

function startHelp() {
  makeCloseable(byId("help"));
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("help-curl").textContent = `curl -X POST ${location.origin}/api/generate \\
  -H "Content-Type: application/json" \\
  -d '{"model_id": "demo", "prompt": "a castle on a hill"}'`;
}

async function start() {
  startTheme();
  startHelp();
  startViewer();
  try {
    const catalog = await startComposer((answer) => track(answer.job_id));
    await startGallery(openImage, catalog.models);
  } catch (error) {
    show(byId("banner"), error.message);
  }
  startJobs(() => reload());
  window.addEventListener("popstate", async () => { showFilters(); await reload(); await followAddress(); });
  await followAddress();
}

start();
