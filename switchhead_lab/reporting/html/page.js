"use strict";
(() => {
  const root = document.documentElement;

  // Rows are sorted by the values at full precision; missing ones stay at the end.
  const valueOf = (row, column, isText) => {
    const cell = row.cells[column];
    if (isText) return cell.dataset.v ?? cell.textContent;
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  };
  const compare = (a, b, isText) =>
    isText ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  const sort = (table, heading, column) => {
    const isText = heading.classList.contains("t");
    const turn = { ascending: "descending", descending: "ascending" };
    const order = turn[heading.getAttribute("aria-sort")] ?? (isText ? "ascending" : "descending");
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, column, isText), row]);
    rows.sort(([a], [b]) =>
      a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b, isText));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, heading, column));
    });
  }

  // A number shows its runs beside it; without this script its link leads to their list.
  const inspector = document.getElementById("inspector");
  const show = (link) => {
    // Links in drawings are SVG elements, which have no property for the fragment.
    const first = link.getAttribute("href").slice(2);
    const numbers = (link.getAttribute("data-r") || first).split(" ");
    inspector.replaceChildren(...numbers.map((number) => {
      const copy = document.getElementById(`r${number}`).cloneNode(true);
      copy.removeAttribute("id");
      return copy;
    }));
    inspector.showPopover();
    const at = link.getBoundingClientRect();
    const size = inspector.getBoundingClientRect();
    const left = Math.max(12, Math.min(at.left, innerWidth - size.width - 12));
    const below = at.bottom + 8 + size.height < innerHeight;
    inspector.style.left = `${left}px`;
    inspector.style.top = `${below ? at.bottom + 8 : Math.max(12, at.top - size.height - 8)}px`;
  };
  if (inspector.showPopover) {
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a.v");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      show(link);
    });
  }

  // Storage may be refused to a page that is read from a file.
  const remember = (value) => {
    try { localStorage.setItem("theme", value); } catch { /* only forgotten */ }
  };
  const remembered = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  if (remembered()) root.dataset.theme = remembered();
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    name();
  });
  dark.addEventListener("change", name);
  name();
})();
