// Draws the plots of a page from the JSON beside them, in the reader's colour scheme.
"use strict";
(() => {
  const COLOURS = ["#2f7fc1", "#d5591b", "#1d9a6c", "#b8609f", "#8567d0", "#9a7420", "#808a91", "#cc4b5c"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down"];
  // Unless told otherwise, plotly.js has a button that uploads the plot.
  const CONFIG = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "" };
  const read = (id) => JSON.parse(document.getElementById(id).textContent);

  // Colours come round after eight; their symbols are then one further, so that 64 looks differ.
  const look = (number) => ({
    colour: COLOURS[number % COLOURS.length],
    symbol: SYMBOLS[(number + Math.floor(number / COLOURS.length)) % SYMBOLS.length],
  });

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
    const tradeoff = () => {
      const x = (i) => board.rows[i].utility[utility.value];
      const y = (i) => board.rows[i].risk[risk.value];
      const shown = (i) => x(i) !== null && y(i).value !== null && (!visible || visible.has(i));
      // How far a bar reaches; of several seeds the interval is the strongest one's, and may not hold the mean.
      const above = (i) => (y(i).high === null ? 0 : Math.max(0, y(i).high - y(i).value));
      const below = (i) => (y(i).low === null ? 0 : Math.max(0, y(i).value - y(i).low));
      const data = [];
      board.families.forEach((family, number) => {
        const rows = family.rows.filter(shown);
        if (!rows.length) return;
        const { colour, symbol } = look(number);
        data.push({
          type: "scatter", mode: "lines+markers", name: family.name,
          x: rows.map(x), y: rows.map((i) => y(i).value),
          text: rows.map((i) => board.rows[i].label), customdata: rows.map((i) => board.rows[i].page),
          hovertemplate: "%{text}<br>risk %{y:.3f}, utility %{x:.3f}<extra></extra>",
          line: { width: 1, color: colour },
          marker: {
            size: 10, color: colour,
            symbol: rows.map((i) => (board.rows[i].sound ? symbol : `${symbol}-open`)),
          },
          error_y: {
            type: "data", symmetric: false, thickness: 1, width: 3,
            array: rows.map(above), arrayminus: rows.map(below),
          },
        });
      });
      // Whole, whatever the table is filtered by: a line through some of its points is no front.
      const front = board.fronts[`${risk.value} ${utility.value}`];
      // First, so that it lies beneath the points.
      data.unshift({
        type: "scatter", mode: "lines", name: "Pareto front", hoverinfo: "skip",
        x: front.map(x), y: front.map((i) => y(i).value),
        line: { width: 4, dash: "dash", color: style("--quiet"), shape: "vh" },
      });
      // High enough for every name, of which a phone has one a row; filtered ones too, or what lies below would jump.
      const lengths = ["Pareto front", ...board.families.map(({ name }) => name)].map((name) => name.length);
      const across = Math.max(1, Math.floor(place.clientWidth / (60 + 7 * Math.max(...lengths))));
      const key = 20 + 20 * Math.ceil(lengths.length / across);
      const narrow = place.clientWidth < 480;
      return draw(place, {
        data,
        layout: {
          height: 440 + key, hovermode: "closest", margin: { l: 60, r: 16, t: 16, b: 50 },
          legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, maxheight: key },
          xaxis: { title: { text: board.axes.utility[utility.value].replace(" (", narrow ? "<br>(" : " (") } },
          yaxis: { title: { text: board.axes.risk[risk.value] } },
        },
      });
    };
    drawings.push(tradeoff);
    const form = document.getElementById("axes");
    form.hidden = false;
    form.addEventListener("change", tradeoff);
    document.addEventListener("rows", (event) => { visible = event.detail; tradeoff(); });
    tradeoff().then(() => place.on("plotly_click", (event) => {
      const page = event.points[0].customdata;
      if (page) location.href = page;
    }));
  }

  const drawAll = () => drawings.forEach((each) => each());
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
