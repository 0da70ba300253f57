// Places labels in a plot: no label covers another, and none a point while there is room beside.
"use strict";
(() => {
  // Between a label close by and its point, in pixels; a line leads to labels farther than the second. Labels farther
  // away are tried in rows above and below, at distances to the left and to the right.
  const CLOSE = 9, LED = 16, ROWS = 10, COLUMNS = [9, 36, 80];
  const DIRECTIONS = [
    [1, 0], [-1, 0], [0, -1], [0, 1], [1, -1], [-1, -1], [1, 1], [-1, 1], [0.5, -1], [-0.5, -1], [0.5, 1], [-0.5, 1],
  ];
  // Cost of covering a point or a piece of a line, of crossing another label or leading line, of a pixel of distance.
  const POINT = 40, STEP = 1, CROSSED = 30, PIXEL = 0.25, MARK = 7;

  const pen = document.createElement("canvas").getContext("2d");
  const measure = (text, size, bold) => {
    pen.font = `${bold ? "bold " : ""}${size}px system-ui, sans-serif`;
    return { wide: pen.measureText(text).width + 4, tall: 1.25 * size };
  };

  const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const side = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  const cross = ([a, b], [c, d]) => side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
  const through = (line, box) => {
    const corners = [[box.left, box.top], [box.right, box.top], [box.right, box.bottom], [box.left, box.bottom]];
    return corners.some((corner, i) => cross(line, [corner, corners[(i + 1) % 4]]));
  };
  const around = (x, y, { wide, tall }) =>
    ({ left: x - wide / 2, right: x + wide / 2, top: y - tall / 2, bottom: y + tall / 2 });

  const nearest = (x, y, box) =>
    [Math.min(Math.max(x, box.left), box.right), Math.min(Math.max(y, box.top), box.bottom)];

  // Places for a label with their distance from its point, the nearest first, up to `far`.
  const candidates = (x, y, size, far) => {
    const { wide, tall } = size;
    const offsets = DIRECTIONS.map(([right, down]) => [right * (wide / 2 + CLOSE), down * (tall / 2 + CLOSE)]);
    for (let row = -ROWS; row <= ROWS; row += 1) {
      const dy = row * (tall + 1);
      for (const away of COLUMNS) offsets.push([wide / 2 + away, dy], [-wide / 2 - away, dy]);
      if (Math.abs(dy) > tall / 2 + CLOSE) offsets.push([0, dy]);
    }
    return offsets.map(([dx, dy]) => {
      const box = around(x + dx, y + dy, size);
      const end = nearest(x, y, box);
      return { dx, dy, box, end, away: Math.hypot(end[0] - x, end[1] - y) };
    }).filter(({ away }) => away <= far).sort((a, b) => Math.round(10 * a.away) - Math.round(10 * b.away));
  };

  // The wanted labels that have a place, in their order: {text, x, y, size, bold, far} with `far` the distance up to
  // which places are tried, and `free` set where it may cover no point. Adds `dx` and `dy`, its offset from the point,
  // and `led`, whether a line is needed. `taken` are boxes that stand already.
  const place = (wanted, frame, points, steps, taken) => {
    const boxes = [...taken], leaders = [], found = [];
    const marks = points.map(([x, y]) => around(x, y, { wide: 2 * MARK, tall: 2 * MARK }));
    const covered = (box) => {
      const inside = ([x, y]) => box.left < x && x < box.right && box.top < y && y < box.bottom;
      return POINT * marks.filter((mark) => overlap(mark, box)).length + STEP * steps.filter(inside).length;
    };
    for (const label of wanted) {
      const { x, y } = label;
      const size = measure(label.text, label.size, label.bold);
      let best = null;
      for (const { dx, dy, box, end, away } of candidates(x, y, size, label.far)) {
        // Farther out nothing can cost less.
        if (best && best.cost <= PIXEL * away) break;
        if (box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom) continue;
        if (boxes.some((other) => overlap(box, other))) continue;
        const line = away > LED ? [[x, y], end] : null;
        const crossed = leaders.filter((other) => through(other, box)).length + (line
          ? boxes.filter((other) => through(line, other)).length + leaders.filter((other) => cross(line, other)).length
          : 0);
        const cost = PIXEL * away + covered(box) + CROSSED * crossed;
        if (!best || cost < best.cost) best = { cost, box, dx, dy, line };
      }
      if (!best || (label.free && best.cost >= Math.min(POINT, CROSSED))) continue;
      boxes.push(best.box);
      if (best.line) leaders.push(best.line);
      found.push({ ...label, dx: best.dx, dy: best.dy, led: best.line !== null });
    }
    return found;
  };

  globalThis.placeLabels = { measure, overlap, place };
})();
