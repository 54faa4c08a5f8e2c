// Before the first paint: the colours chosen last time, if any (otherwise the system's preference rules).
"use strict";
try {
  const chosen = localStorage.getItem("ctwin-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // storage may be forbidden; the system's preference is a good answer then
}
