"use strict";
(function () {
  const body = document.querySelector("tbody");
  const rows = Array.from(body.rows);
  const headers = Array.from(document.querySelectorAll("th"));
  const search = document.querySelector("input[type=search]");
  const count = document.getElementById("count");

  function key(row, column) {
    const cell = row.cells[column];
    if (!cell) return null;  // a clip that failed: its reason takes the place of its numbers
    const value = cell.dataset.value;
    return value === undefined ? cell.textContent.trim().toLowerCase() : Number(value);
  }

  function compare(a, b, column, sign) {
    const left = key(a, column), right = key(b, column);
    if (left === null || right === null) return (left === null) - (right === null);  // clips without value stay last
    return sign * (typeof left === "number" ? left - right : left.localeCompare(right, undefined, { numeric: true }));
  }

  headers.forEach((header, column) => {
    const button = header.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const first = header.dataset.first || "ascending";
      const before = header.getAttribute("aria-sort");
      const order = before === null ? first : before === "ascending" ? "descending" : "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      body.append(...rows.slice().sort((a, b) => compare(a, b, column, sign)));
    });
  });
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    let shown = 0;
    rows.forEach((row) => {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    });
    count.textContent = shown + " of " + rows.length;
  });
})();
