// Draws the plots of a page from the JSON beside them, in the reader's colour scheme.
"use strict";
(() => {
  // Of the tiers in their order, then of points without one. A name beside its line tells a defense, not its look.
  const LOOKS = [
    { colour: "#2f7fc1", symbol: "circle" }, { colour: "#9a7420", symbol: "square" },
    { colour: "#cc4b5c", symbol: "triangle-up" }, { colour: "#808a91", symbol: "circle" },
  ];
  // More points than these have no bars, and no names of their settings; a narrow plot neither.
  const MANY = 40, NARROW = 480;
  // Unless told otherwise, plotly.js has a button that uploads the plot.
  const CONFIG = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "" };
  const read = (id) => JSON.parse(document.getElementById(id).textContent);

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const themed = (layout) => {
    const [page, ink, grid] = ["--page", "--ink", "--grid"].map(style);
    const made = structuredClone(layout);
    made.paper_bgcolor = page;
    made.plot_bgcolor = page;
    made.font = { color: ink, family: "system-ui, sans-serif", size: 13 };
    for (const name of ["xaxis", "yaxis", "yaxis2"]) {
      if (name in made || name !== "yaxis2") {
        made[name] = { gridcolor: grid, linecolor: grid, zerolinecolor: grid, automargin: true, ...made[name] };
      }
    }
    return made;
  };

  const draw = (place, spec) => {
    // The place is as high as its plot, or what follows would lie beneath it.
    place.style.height = `${spec.layout.height}px`;
    return Plotly.react(place, spec.data, themed(spec.layout), CONFIG);
  };

  const drawings = [];
  for (const place of document.querySelectorAll("[data-chart]")) {
    const spec = read(place.dataset.chart);
    drawings.push(() => draw(place, spec));
  }

  const place = document.querySelector("[data-tradeoff]");
  if (place) {
    const board = read(place.dataset.tradeoff);
    const [risk, utility] = ["risk", "utility"].map((id) => document.getElementById(id));
    let visible = null;
    // What a reader has zoomed into; null for everything.
    let zoomed = null;
    const range = (values) => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const room = 0.05 * (high - low || 0.1);
      return [low - room, high + room];
    };
    // Points along a line, which names should not cover.
    const along = (places) => places.slice(1).flatMap(([x, y], i) => {
      const [fromX, fromY] = places[i];
      const count = Math.max(1, Math.floor(Math.hypot(x - fromX, y - fromY) / 4));
      return Array.from({ length: count }, (_, n) => [fromX + (x - fromX) * n / count, fromY + (y - fromY) * n / count]);
    });

    const tradeoff = () => {
      const x = (i) => board.rows[i].risk[risk.value];
      const y = (i) => board.rows[i].utility[utility.value];
      const shown = (i) => y(i) !== null && x(i).value !== null && (!visible || visible.has(i));
      // How far a bar reaches; of several seeds the interval is the strongest one's, and may not hold the mean.
      const above = (i) => (x(i).high === null ? 0 : Math.max(0, x(i).high - x(i).value));
      const below = (i) => (x(i).low === null ? 0 : Math.max(0, x(i).value - x(i).low));
      const told = (i) => (x(i).low === null ? "" : ` [${x(i).low.toFixed(3)}, ${x(i).high.toFixed(3)}]`);
      const rows = board.rows.map((_, i) => i).filter(shown);
      const narrow = place.clientWidth < NARROW;
      const few = rows.length <= MANY && !narrow;
      const families = board.families.map(({ name, rows: mine }) => ({ name, rows: mine.filter(shown) }))
        .filter((family) => family.rows.length);
      // Whole, whatever the table is filtered by: a line through some of its points is no front.
      const front = board.fronts[`${risk.value} ${utility.value}`];

      const data = [{
        type: "scatter", mode: "lines", name: "Pareto front", hoverinfo: "skip",
        x: front.map((i) => x(i).value), y: front.map(y),
        line: { width: 4, dash: "dash", color: style("--quiet"), shape: "hv" },
      }];
      for (const { name, rows: mine } of families) {
        if (mine.length < 2) continue;
        data.push({
          type: "scatter", mode: "lines", name, hoverinfo: "skip", showlegend: false, meta: "family",
          x: mine.map((i) => x(i).value), y: mine.map(y), line: { width: 1, color: style("--quiet") },
        });
      }
      const points = (name, mine, { colour, symbol, size = 10 }) => {
        if (!mine.length) return;
        data.push({
          type: "scatter", mode: "markers", name, meta: "points",
          x: mine.map((i) => x(i).value), y: mine.map(y),
          text: mine.map((i) => board.rows[i].label), customdata: mine.map((i) => [board.rows[i].page, told(i), board.rows[i].family]),
          hovertemplate: "%{text}<br>risk %{x:.3f}%{customdata[1]}, utility %{y:.3f}<extra></extra>",
          marker: { size, color: colour, symbol: mine.map((i) => (board.rows[i].sound ? symbol : `${symbol}-open`)) },
          ...(few && {
            error_x: {
              type: "data", symmetric: false, thickness: 1, width: 3, array: mine.map(above), arrayminus: mine.map(below),
            },
          }),
        });
      };
      const defended = rows.filter((i) => !board.rows[i].undefended);
      board.tiers.forEach((tier, number) => points(tier, defended.filter((i) => board.rows[i].tier === tier), LOOKS[number]));
      points("defended", defended.filter((i) => board.rows[i].tier === null), LOOKS[board.tiers.length]);
      points("undefended", rows.filter((i) => board.rows[i].undefended), { colour: style("--ink"), symbol: "diamond", size: 13 });

      const names = data.filter((trace) => trace.showlegend !== false).map(({ name }) => name.length);
      const across = Math.max(1, Math.floor(place.clientWidth / (60 + 7.5 * Math.max(...names))));
      const key = 24 + 22 * Math.ceil(names.length / across);
      const margin = { l: narrow ? 76 : 58, r: 16, t: 34, b: (narrow ? 62 : 44) + key };
      const height = 480 + key;
      const spans = zoomed ?? {
        x: range([...rows.flatMap((i) => [x(i).value, ...(few ? [x(i).value + above(i), x(i).value - below(i)] : [])]), ...front.map((i) => x(i).value)]),
        y: range([...rows, ...front].map(y)),
      };
      const frame = { left: margin.l, right: place.clientWidth - margin.r, top: margin.t, bottom: height - margin.b };
      const at = (i) => [
        frame.left + (x(i).value - spans.x[0]) / (spans.x[1] - spans.x[0]) * (frame.right - frame.left),
        frame.bottom - (y(i) - spans.y[0]) / (spans.y[1] - spans.y[0]) * (frame.bottom - frame.top),
      ];
      const inside = (i) => {
        const [px, py] = at(i);
        return frame.left <= px && px <= frame.right && frame.top <= py && py <= frame.bottom;
      };

      const marks = rows.filter(inside).map(at);
      const bars = few ? rows.filter(inside).map((i) => {
        const [px, py] = at(i);
        const pixel = (frame.right - frame.left) / (spans.x[1] - spans.x[0]);
        return [[px - below(i) * pixel, py], [px + above(i) * pixel, py]];
      }) : [];
      const stairs = front.flatMap((i, n) => (n ? [[at(i)[0], at(front[n - 1])[1]], at(i)] : [at(i)]));
      const steps = [...families.map(({ rows: mine }) => mine.map(at)), ...bars, stairs].flatMap(along);
      const banded = bands(spans, frame, marks);
      const wanted = wantedNames(rows, families, front, few, narrow, inside, x).map((label) => {
        const [px, py] = at(label.row);
        return { ...label, x: px, y: py };
      });
      const placed = placeLabels.place(wanted, frame, marks, steps, banded.boxes);
      const labels = placed.map(({ row, text, size, bold, dx, dy, led }) => ({
        x: x(row).value, y: y(row), text: bold ? `<b>${text}</b>` : text, font: { size },
        xanchor: "center", yanchor: "middle", borderpad: 0, bgcolor: `${style("--page")}cc`, showarrow: led,
        ...(led
          ? { ax: dx, ay: dy, arrowhead: 0, arrowwidth: 0.7, arrowcolor: style("--quiet"), standoff: 5 }
          : { xshift: dx, yshift: -dy }),
      }));
      return draw(place, {
        data,
        layout: {
          height, hovermode: "closest", margin,
          legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, maxheight: key },
          xaxis: { title: { text: `risk: ${board.axes.risk[risk.value].replace(", ", narrow ? ",<br>" : ", ")}`, standoff: 8 }, range: spans.x, automargin: false },
          yaxis: {
            title: { text: `utility: ${board.axes.utility[utility.value].replace(" (", narrow ? "<br>(" : " (")}`, standoff: 6 },
            range: spans.y, automargin: false,
          },
          shapes: banded.shapes, annotations: [...banded.texts, ...labels],
        },
      });
    };

    // The line at half of the utility above chance, and what lies above and below it in words.
    const bands = (spans, frame, marks) => {
      const none = { shapes: [], texts: [], boxes: [] };
      if (utility.value !== "release" || board.half === null) return none;
      if (board.half <= spans.y[0] || board.half >= spans.y[1]) return none;
      const size = 11;
      const y = frame.bottom - (board.half - spans.y[0]) / (spans.y[1] - spans.y[0]) * (frame.bottom - frame.top);
      const words = board.bands.map((text, below) => {
        const { wide, tall } = placeLabels.measure(text, size, false);
        const top = below ? y + 3 : y - 3 - tall;
        const places = ["right", "left"].map((end) => {
          const left = end === "right" ? frame.right - wide - 4 : frame.left + 4;
          const box = { left, right: left + wide, top, bottom: top + tall };
          const marked = marks.filter(([px, py]) => placeLabels.overlap(box, { left: px - 6, right: px + 6, top: py - 6, bottom: py + 6 }));
          return { end, box, covered: marked.length };
        });
        return { text, below, ...places.reduce((best, one) => (one.covered < best.covered ? one : best)) };
      }).filter(({ box }) => box.top >= frame.top && box.bottom <= frame.bottom);
      const plain = { xref: "paper", yref: "y", layer: "below" };
      return {
        shapes: [
          { ...plain, type: "rect", x0: 0, x1: 1, y0: spans.y[0], y1: board.half, line: { width: 0 }, fillcolor: style("--stripe") },
          { ...plain, type: "line", x0: 0, x1: 1, y0: board.half, y1: board.half, line: { width: 1.5, dash: "dot", color: style("--quiet") } },
        ],
        texts: words.map(({ text, below, end }) => ({
          xref: "paper", x: end === "right" ? 1 : 0, xanchor: end, xshift: end === "right" ? -4 : 4, y: board.half,
          yanchor: below ? "top" : "bottom", yshift: below ? -3 : 3, text: `<i>${text}</i>`, showarrow: false,
          borderpad: 0, font: { size, color: style("--quiet") },
        })),
        boxes: words.map(({ box }) => box),
      };
    };

    // The names that are wanted, the most telling first: of the undefended runs, then of defenses on the front, then of
    // the others, each at its point with the lowest risk (on the front where it has one there).
    const wantedNames = (rows, families, front, few, narrow, inside, x) => {
      const best = new Set(front);
      const lowest = (some) => some.reduce((found, i) => (x(i).value < x(found).value ? i : found));
      const size = narrow ? 11 : 12;
      const found = rows.filter((i) => board.rows[i].undefended && inside(i))
        .map((row) => ({ row, text: "undefended", size, bold: true, far: 140 }));
      const others = [];
      for (const { name, rows: mine } of families) {
        const seen = mine.filter((i) => inside(i) && !board.rows[i].undefended);
        if (!seen.length) continue;
        const leading = seen.filter((i) => best.has(i));
        const label = { row: lowest(leading.length ? leading : seen), text: name, size, bold: true };
        if (leading.length) found.push({ ...label, far: 140 });
        // On a narrow plot these are named by the table, and when pointed at.
        else if (few) others.push({ ...label, far: 140 });
        else if (!narrow) others.push({ ...label, far: 45, free: true });
      }
      const options = few ? families.filter((family) => family.rows.length > 1).flatMap((family) => family.rows)
        .filter((i) => inside(i) && board.rows[i].options)
        .map((row) => ({ row, text: board.rows[row].options, size: 11, bold: false, far: 12, free: true })) : [];
      return [...found, ...others, ...options];
    };
    drawings.push(tradeoff);
    const form = document.getElementById("axes");
    form.hidden = false;
    form.addEventListener("change", () => { zoomed = null; tradeoff(); });
    document.addEventListener("rows", (event) => { visible = event.detail; zoomed = null; tradeoff(); });
    tradeoff().then(() => {
      place.on("plotly_click", (event) => {
        const page = event.points[0].customdata?.[0];
        if (page) location.href = page;
      });
      // The line of the defense that is pointed at, among the others.
      const emphasize = (width) => (event) => {
        const line = place.data.findIndex(({ meta, name }) => meta === "family" && name === event.points[0].customdata?.[2]);
        if (line >= 0) Plotly.restyle(place, { "line.width": width }, [line]);
      };
      place.on("plotly_hover", emphasize(3));
      place.on("plotly_unhover", emphasize(1));
      // Names are placed again for what is then in sight; drawing does not cause this event.
      place.on("plotly_relayout", (change) => {
        const { xaxis, yaxis } = place.layout;
        if (change["xaxis.autorange"] || change["yaxis.autorange"]) zoomed = null;
        else if (Object.keys(change).some((name) => /^[xy]axis\.range/.test(name))) zoomed = { x: [...xaxis.range], y: [...yaxis.range] };
        else if (!change.autosize) return;
        tradeoff();
      });
    });
  }

  const drawAll = () => drawings.forEach((each) => each());
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
