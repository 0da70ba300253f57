// Sorts and filters the leaderboard. Without it the table stands as it was written, the worst case first.
"use strict";
(() => {
  const table = document.getElementById("board");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];

  const value = (row, column) => {
    const text = row.cells[column].dataset.value;
    const number = Number(text);
    return text === "" ? null : Number.isNaN(number) ? text : number;
  };

  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  const sort = (column, descending) => {
    const sign = descending ? -1 : 1;
    rows.sort((one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      // What is undefined comes last, whichever way the rest is sorted.
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * compare(a, b);
    });
    body.append(...rows);
    heads.forEach((head, number) => {
      if (number === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => {
      const first = rows.map((row) => value(row, column)).find((found) => found !== null);
      // Numbers begin with the highest, names with A.
      const now = head.getAttribute("aria-sort");
      sort(column, now ? now === "ascending" : typeof first === "number");
    });
  });

  const text = document.getElementById("filter-text");
  const front = document.getElementById("filter-front");
  const sound = document.getElementById("filter-sound");
  const shown = document.getElementById("shown");
  const { fronts } = JSON.parse(document.getElementById("tradeoff-data").textContent);
  const axes = document.getElementById("axes");
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    // The front that is plotted: each pair of axes has its own.
    const best = new Set(fronts[`${axes.elements.risk.value} ${axes.elements.utility.value}`]);
    let count = 0;
    const visible = [];
    for (const row of rows) {
      const fits =
        words.every((word) => row.dataset.text.includes(word)) &&
        (!front.checked || best.has(Number(row.dataset.row))) &&
        (!sound.checked || row.dataset.sound === "true");
      row.hidden = !fits;
      if (fits) visible.push(Number(row.dataset.row));
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} rows`;
    document.dispatchEvent(new CustomEvent("rows", { detail: new Set(visible) }));
  };
  const form = document.getElementById("filters");
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  axes.addEventListener("change", () => { if (front.checked) filter(); });
  // A browser may bring back what was typed before a reload.
  filter();
})();
