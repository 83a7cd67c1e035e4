/* Draws the charts of the dashboard. The same numbers are in a table below each chart. */
"use strict";

(() => {
  const root = document.documentElement;
  const isMirrored = root.dir === "rtl";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const drawings = read("drawings");
  const separator = read("separator");
  const drawn = [];

  /** Return a color of the design as rgb(), for the present color scheme. */
  function color(name) {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  }

  /** Return a number with the separators of the page's texts; charts have no decimals. */
  function grouped(number) {
    return String(number).replace(/\B(?=(\d{3})+$)/g, separator);
  }

  /** Return a label that fits beside its bar on a small screen. */
  function shorten(label) {
    return label.length > 20 ? `${label.slice(0, 19)}…` : label;
  }

  function options(drawing) {
    const line = color("line");
    const soft = color("soft");
    const isRows = drawing.kind === "rows";
    const write = (value) => grouped(Math.abs(value)) + drawing.unit;
    const counted = {
      beginAtZero: true,
      max: drawing.maximum ?? undefined,
      grid: { color: line },
      border: { display: false },
      ticks: { color: soft, precision: 0, maxTicksLimit: 6, callback: write },
    };
    const named = {
      grid: { display: false },
      border: { color: line },
      stacked: drawing.kind === "bar",
      ticks: { color: soft, autoSkip: !isRows, maxRotation: 0, autoSkipPadding: 24 },
    };
    if (isRows) {
      named.ticks.callback = (place) => shorten(drawing.labels[place]);
    }
    const across = isRows ? counted : named;
    const upward = isRows ? named : counted;
    return {
      indexAxis: isRows ? "y" : "x",
      responsive: true,
      maintainAspectRatio: false,
      // Nothing moves, so nobody has to ask for less motion.
      animation: false,
      // The label of the last week ends outside of the axis if that is mirrored.
      layout: { padding: { left: isMirrored && !isRows ? 36 : 0 } },
      interaction: { mode: "index", intersect: false, axis: isRows ? "y" : "x" },
      scales: {
        x: { ...across, reverse: isMirrored },
        y: { ...upward, position: isMirrored ? "right" : "left" },
      },
      plugins: {
        legend: {
          display: drawing.series.length > 1,
          align: "start",
          rtl: isMirrored,
          labels: { color: color("ink"), boxWidth: 14, boxHeight: 14 },
        },
        tooltip: {
          rtl: isMirrored,
          textDirection: root.dir,
          callbacks: {
            label: (item) => ` ${item.dataset.label}: ${write(isRows ? item.parsed.x : item.parsed.y)}`,
          },
        },
      },
    };
  }

  function dataset(series, drawing) {
    const ink = color(`chart-${series.color}`);
    const isLine = drawing.kind === "line";
    return {
      label: series.label,
      data: series.values,
      borderColor: ink,
      backgroundColor: isLine ? ink.replace(/^rgb\((.*)\)$/, "rgba($1, 0.14)") : ink,
      borderWidth: isLine ? 2 : 0,
      fill: isLine,
      pointRadius: drawing.labels.length < 3 ? 3 : 0,
      pointHitRadius: 12,
      stepped: false,
      categoryPercentage: drawing.kind === "rows" ? 0.8 : 0.95,
      barPercentage: drawing.kind === "rows" ? 0.8 : 1,
      maxBarThickness: 28,
    };
  }

  function draw() {
    drawn.splice(0).forEach((chart) => chart.destroy());
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    for (const [name, drawing] of Object.entries(drawings)) {
      drawn.push(
        new Chart(document.getElementById(name), {
          type: drawing.kind === "line" ? "line" : "bar",
          data: {
            labels: drawing.labels,
            datasets: drawing.series.map((series) => dataset(series, drawing)),
          },
          options: options(drawing),
        }),
      );
    }
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
