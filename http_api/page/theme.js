// Before the first paint, so that the page does not flash in the other colours.
try {
  const theme = localStorage.getItem("cyberimage.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch { /* storage is forbidden: the system's colours stay */ }
