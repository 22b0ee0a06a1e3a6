// Before the first paint, so that the page does not flash in the other colours.
try {
  const theme = localStorage.getItem("cyberimage.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch { /* storage is forbidden: the system's colours stay */ }
// What the last key might do, until the server says what this one may: so that nothing moves when the answer comes.
try {
  document.documentElement.dataset.may = localStorage.getItem("cyberimage.may") ?? "read submit admin";
} catch { document.documentElement.dataset.may = "read submit admin"; }
// Whoever presses Make before the rest of the page is there is heard: bar.js makes it good (`data-pressed`).
addEventListener("submit", (event) => {
  if (document.documentElement.dataset.isReady) return;
  event.preventDefault();
  document.documentElement.dataset.pressed = event.target.id;
});
