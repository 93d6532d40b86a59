"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = css("--quiet"), line = css("--line"), height = 260;
  const axis = (more) => ({ stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui", ...more });

  const draw = (element, data, series, x) => {
    const options = {
      width: element.clientWidth, height,
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: false }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [axis({}), axis({ size: 56 })],
      series: [x, ...series],
    };
    const plot = new uPlot(options, data, element);
    new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height })).observe(element);
  };

  const kinds = {
    recoveries: (element) => {
      const all = figures.recoveries;
      const name = (u, n) => n == null ? "–" : n + " " + (all[n - 1] ? all[n - 1].fault : "");
      const dots = (label, stroke) => ({ label, stroke, paths: () => null, points: { show: true, size: 7, fill: stroke } });
      draw(element, [all.map((one) => one.n), all.map((one) => one.recovery_s), all.map((one) => one.servers_s)],
        [dots("recovery", "#1e88e5"), dots("of it servers", "#f4811f")], { label: "fault", value: name });
    },
    calls: (element, stretch) => {
      const of = figures.stretches[stretch];
      draw(element, [of.answered.map((_, i) => i), of.answered, of.unanswered],
        [{ label: "answered", stroke: "#2e9e5b", width: 1.5 }, { label: "not answered", stroke: "#c2378f", width: 1.5 }], { label: "second" });
    },
  };
  for (const element of document.querySelectorAll("[data-plot]"))
    kinds[element.dataset.plot](element, Number(element.dataset.stretch));
})();
