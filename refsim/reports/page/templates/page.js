"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const button = $("theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => {
    button.setAttribute("aria-pressed", String(dark()));
    button.textContent = dark() ? "Light" : "Dark";
  };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; label(); });
  label();

  const walk = JSON.parse($("walk-data").textContent);
  if (!walk.layers.length) return;

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  // Four numbers to a byte, 2 stands for -1.
  const signs = (text) => {
    const packed = bytes(text);
    return (i) => { const code = (packed[i >> 2] >> (2 * (i & 3))) & 3; return code === 2 ? -1 : code; };
  };
  const NS = "http://www.w3.org/2000/svg";
  const element = (name, attributes, text) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  // cividis, in a few stops: rises evenly in lightness.
  const STOPS = [[0, 32, 77], [64, 77, 107], [124, 123, 120], [188, 174, 108], [255, 234, 70]];
  const colour = (share) => {
    const x = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
    const i = Math.min(Math.floor(x), STOPS.length - 2);
    return STOPS[i].map((low, c) => Math.round(low + (x - i) * (STOPS[i + 1][c] - low)));
  };

  const chosen = { image: 0, kind: 0, layer: 0, step: walk.T };
  const neurons = $("walk-neurons");
  const scene = () => walk.scenes[chosen.kind][chosen.image][chosen.layer];
  const layer = () => walk.layers[chosen.layer];
  const picked = () => Array.from(neurons.selectedOptions, (option) => Number(option.value));
  const name = ([c, y, x]) => (layer().shape[1] * layer().shape[2] === 1 ? `${c}` : `${c}, ${y}, ${x}`);

  // Drawn as wide as there is room, so that letters are as large as the others.
  const room = (id) => Math.max(260, Math.min(704, $(id).clientWidth || 640));
  // So many steps from one number to the next, that numbers do not touch.
  const stride = (T, width) => Math.ceil((T * 26) / width);

  function fillNeurons() {
    neurons.replaceChildren(...layer().neurons.map((place, i) => {
      const option = document.createElement("option");
      option.value = i;
      option.textContent = `${name(place)}   (θ = ${layer().theta[i]})`;
      option.selected = i === 0;
      return option;
    }));
  }

  function drawRaster() {
    const T = walk.T, rows = layer().neurons, s = signs(scene().spikes), left = 84, width = room("walk-raster"), pitch = 18;
    const at = (t) => left + ((t - 0.5) * (width - left)) / T;
    const svg = element("svg", { viewBox: `0 0 ${width} ${rows.length * pitch + 22}`, width, height: rows.length * pitch + 22, role: "img" });
    svg.setAttribute("aria-label", `Spikes of ${rows.length} neurons in ${T} steps`);
    const half = (width - left) / T / 2;
    svg.append(element("rect", { class: "now", x: at(chosen.step) - half, y: 0, width: 2 * half, height: rows.length * pitch }));
    const selected = new Set(picked());
    rows.forEach((place, i) => {
      const y = i * pitch + pitch / 2;
      const group = element("g", { class: selected.has(i) ? "row chosen" : "row" });
      group.append(element("rect", { x: 0, y: y - pitch / 2, width, height: pitch, fill: "transparent" }));
      group.append(element("text", { class: "label", x: left - 8, y: y + 4, "text-anchor": "end" }, name(place)));
      group.append(element("line", { class: "axis", x1: left, x2: width, y1: y, y2: y }));
      for (let t = 1; t <= T; t++) {
        const spike = s(i * T + t - 1);
        if (!spike) continue;
        const d = Math.min(4.5, half * 0.9) , x = at(t);
        group.append(element("path", { class: spike > 0 ? "pos" : "neg",
          d: `M${x - d} ${y + spike * d}L${x + d} ${y + spike * d}L${x} ${y - spike * d}Z` }));
      }
      group.addEventListener("click", () => { neurons.options[i].selected = !neurons.options[i].selected; draw(); });
      svg.append(group);
    });
    for (let t = 1; t <= T; t += stride(T, width - left))
      svg.append(element("text", { class: "small", x: at(t), y: rows.length * pitch + 15, "text-anchor": "middle" }, t));
    $("walk-raster").replaceChildren(svg);
  }

  function drawPotential() {
    const T = walk.T, shown = picked().slice(0, 3), all = scene(), s = signs(all.spikes), left = 48, right = 112, width = room("walk-potential"), height = 230;
    const traces = shown.map((i) => all.m[i].map((m, t) => {
      const spike = s(i * T + t);
      return [m, spike && layer().resets === "zero" ? 0 : m - spike];
    }));
    const negative = layer().thetaNeg[chosen.kind];
    const values = traces.flat(2).concat([0, 1], shown.map((i) => layer().v0[i]), negative ? shown.map((i) => negative[i]) : []);
    const low = Math.min(...values), high = Math.max(...values), rim = 0.06 * (high - low);
    const x = (t) => left + ((t - 0.5) * (width - left - right)) / T;
    const y = (v) => 10 + ((high + rim - v) * (height - 34)) / (high - low + 2 * rim);
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    svg.setAttribute("aria-label", `Potential of ${shown.length} neurons in units of their threshold`);
    const half = (width - left - right) / T / 2;
    svg.append(element("rect", { class: "now", x: x(chosen.step) - half, y: 10, width: 2 * half, height: height - 34 }));
    const level = (value, kind, text) => {
      svg.append(element("line", { class: kind, x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      svg.append(element("text", { class: "label", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
    };
    level(0, "axis", "0");
    level(1, "theta", "θ");
    if (negative && shown.length) level(negative[shown[0]], "theta-neg", Math.abs(negative[shown[0]]) * (height - 34) / (high - low) > 12 ? "θneg" : "");
    traces.forEach((trace, k) => {
      let d = "";
      trace.forEach(([m, v], t) => {
        const before = t ? trace[t - 1][1] : layer().v0[shown[k]];
        d += `${t ? "L" : "M"}${x(t + 1) - half} ${y(before)}L${x(t + 1)} ${y(m)}L${x(t + 1)} ${y(v)}L${x(t + 1) + half} ${y(v)}`;
      });
      svg.append(element("path", { class: `potential ${["", "second", "third"][k]}`, d }));
      const sample = 20 + 18 * k;
      svg.append(element("path", { class: `potential ${["", "second", "third"][k]}`, d: `M${width - right + 10} ${sample}h26` }));
      svg.append(element("text", { class: "label", x: width - right + 42, y: sample + 4 }, name(layer().neurons[shown[k]])));
    });
    for (let t = 1; t <= T; t += stride(T, width - left - right))
      svg.append(element("text", { class: "small", x: x(t), y: height - 8, "text-anchor": "middle" }, t));
    $("walk-potential").replaceChildren(svg);
  }

  function canvas(values, width, height, most, title) {
    const made = document.createElement("canvas");
    made.width = width; made.height = height;
    made.setAttribute("role", "img"); made.setAttribute("aria-label", title);
    const context = made.getContext("2d"), pixels = context.createImageData(width, height);
    values.forEach((value, i) => pixels.data.set([...colour(value / most), 255], 4 * i));
    context.putImageData(pixels, 0, 0);
    return made;
  }

  function drawMaps() {
    const [, height, width] = layer().shape, channels = layer().channels, all = scene(), size = height * width;
    if (!channels.length) {
      $("walk-maps").textContent = "The maps of this layer are too large for the page.";
      return;
    }
    const s = signs(all.maps), ann = all.ann ? bytes(all.ann) : null, step = channels.length * size;
    const flat = size === 1;
    const net = new Float64Array(step);
    for (let t = 0; t < chosen.step; t++) for (let i = 0; i < step; i++) net[i] += s(t * step + i) / chosen.step;
    const a = ann ? Array.from(ann, (byte) => (byte / 255) * all.annMost) : null;
    const most = Math.max(1, all.annMost || 0);
    const boxes = channels.map((c, k) => {
      const part = Array.from(net.subarray(k * size, (k + 1) * size));
      const box = document.createElement("div");
      const mean = (list) => list.reduce((sum, value) => sum + value, 0) / size;
      const say = [`channel ${c}`];
      if (a) {
        const theirs = a.slice(k * size, (k + 1) * size);
        box.append(canvas(theirs, width, height, most, `ANN, channel ${c}`));
        say.push(`ANN ${mean(theirs).toFixed(3)}`);
      }
      box.append(canvas(part, width, height, most, `SNN after ${chosen.step} steps, channel ${c}`));
      say.push(`SNN ${mean(part).toFixed(3)}`);
      const text = document.createElement("span");
      text.append(...say.flatMap((line) => [line, document.createElement("br")]));
      box.append(text);
      return box;
    });
    $("walk-maps").replaceChildren(...boxes);
    $("walk-maps-caption").textContent = `Most active ${flat ? "neurons" : "channels"}, dark is 0, bright is ${most}: `
      + (a ? "above the ANN's activation a / θ, below " : "")
      + "the SNN's φ / θ = net spikes so far / t. Below each, the means.";
  }

  function draw() {
    drawRaster(); drawPotential(); drawMaps();
    $("walk-t").textContent = chosen.step;
    $("walk-step").setAttribute("aria-valuetext", `step ${chosen.step} of ${walk.T}`);
    $("walk-pixels").src = walk.images[chosen.image].pixels;
    const s = signs(scene().spikes);
    const fired = layer().neurons.filter((_, i) => s(i * walk.T + chosen.step - 1)).length;
    $("walk-say").textContent = `Layer ${layer().name}, step ${chosen.step}: ${fired} of the ${layer().neurons.length} neurons shown fire.`;
  }

  for (const key of ["image", "kind", "layer", "step"]) {
    const control = $(`walk-${key}`);
    control.addEventListener("input", () => {
      chosen[key] = Number(control.value);
      if (key === "layer") fillNeurons();
      draw();
    });
  }
  neurons.addEventListener("change", draw);
  addEventListener("resize", draw);
  fillNeurons();
  draw();
})();
