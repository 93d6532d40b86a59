"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = css("--quiet"), line = css("--line");
  const colours = ["#1e88e5", "#f4811f", "#2e9e5b", "#c2378f", "#7a5cd6", "#8d6e4f", "#00919c", "#b0a000"];
  const height = 260;

  // Values as people write them: three figures are enough.
  const short = (v) => v == null ? "–" : Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(3)));

  // Series of [x, y] points on one x axis.
  const join = (series) => {
    const xs = [...new Set(series.flatMap((one) => one.points.map((p) => p[0])))].sort((a, b) => a - b);
    const at = new Map(xs.map((x, i) => [x, i]));
    return [xs, ...series.map((one) => {
      const ys = new Array(xs.length).fill(null);
      for (const [x, y] of one.points) ys[at.get(x)] = y;
      return ys;
    })];
  };

  const axis = (more) => ({ stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui", ...more });

  const percentile = (x) => x == null ? "" : x <= 1 ? "0" : "p" + String(Number((100 - 100 / x).toFixed(Math.max(0, Math.ceil(Math.log10(x)) - 1))));

  const shade = (until) => ({ hooks: { drawClear: [(u) => {
    if (!until) return;
    const left = u.bbox.left, right = u.valToPos(until, "x", true);
    u.ctx.save();
    u.ctx.fillStyle = line;
    u.ctx.globalAlpha = 0.6;
    u.ctx.fillRect(left, u.bbox.top, Math.max(0, right - left), u.bbox.height);
    u.ctx.restore();
  }] } });

  const draw = (element, series, { logarithmic = false, by = "time", unit = "", warmUp = 0 }) => {
    const shown = series.filter((one) => one.points.length > 0);
    if (shown.length === 0) { element.textContent = "nothing to show"; return; }
    const byPercentile = by === "percentile";
    const options = {
      width: element.clientWidth, height,
      plugins: [shade(warmUp)],
      cursor: { drag: { x: true, y: false } },
      scales: {
        x: byPercentile ? { time: false, distr: 3, log: 10 } : { time: false },
        y: logarithmic ? { distr: 3, log: 10 } : { range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        axis(byPercentile
          ? { filter: (u, xs) => xs, splits: () => [1, 2, 10, 100, 1000, 10000, 100000, 1000000].filter((x) => x <= join(shown)[0].at(-1)), values: (u, xs) => xs.map(percentile) }
          : { values: (u, xs) => xs.map((x) => x + " s") }),
        axis({ size: 64, values: (u, ys) => ys.map((y) => y == null ? "" : short(y)) }),
      ],
      series: [
        { label: byPercentile ? "percentile" : "second", value: (u, x) => x == null ? "–" : byPercentile ? percentile(x) : short(x) },
        ...shown.map((one, i) => ({
          label: one.name, stroke: colours[i % colours.length], width: 2, spanGaps: true, points: { show: false },
          value: (u, y) => y == null ? "–" : short(y) + unit,
        })),
      ],
    };
    const plot = new uPlot(options, join(shown), element);
    new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height })).observe(element);
  };

  const seconds = (run, fields) => fields.map(([name, field]) => ({ name, points: run.timeline.map((s) => [s.at_s, s[field]]) }));
  const kinds = {
    curves: (element) => draw(element, figures.curves, { by: "percentile", logarithmic: true, unit: " ms" }),
    arrivals: (element) => draw(element, figures.arrivals, { by: "percentile", logarithmic: true, unit: " ms" }),
    latency: (element, run) => draw(element, seconds(run, [["p50", "p50_ms"], ["p99", "p99_ms"], ["max", "max_ms"]]), { logarithmic: true, unit: " ms", warmUp: run.warm_up_s }),
    throughput: (element, run) => draw(element, seconds(run, [["intended", "intended"], ["answered", "answered"], ["not answered", "not_answered"]]), { warmUp: run.warm_up_s }),
    cores: (element) => draw(element, figures.parts.map((one) => ({ name: one.part, points: one.samples.map((s) => [s.at_s, s.cores]) })), {}),
    memory: (element) => draw(element, figures.parts.map((one) => ({ name: one.part, points: one.samples.map((s) => [s.at_s, s.rss_mib]) })), { unit: " MiB" }),
  };
  for (const element of document.querySelectorAll("[data-plot]"))
    kinds[element.dataset.plot](element, figures.runs[Number(element.dataset.run)]);
})();
