"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const hidden = new Set();

  // "@name" is the colour --name of the page as it is now: light, dark or print.
  const painted = (value, colours) => {
    if (typeof value === "string" && value.startsWith("@")) return colours.getPropertyValue("--" + value.slice(1)).trim() || value;
    if (Array.isArray(value)) return value.map((part) => painted(part, colours));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, key === "name" ? part : painted(part, colours)]));
    return value;
  };

  const draw = (place) => {
    const colours = getComputedStyle(document.documentElement);
    const figure = figures[place.id];
    const layout = painted({ ...figure.layout, xaxis: { ...figure.layout.xaxis, categoryarray: undefined } }, colours);
    layout.xaxis.categoryarray = figure.layout.xaxis.categoryarray;
    const data = figure.data.map((trace) => {
      const { x, y, ...rest } = trace;
      return { ...painted(rest, colours), x, y, visible: !hidden.has(place.dataset.section + "/" + trace.meta) };
    });
    Plotly.react(place, data, layout, { displayModeBar: false, responsive: true, scrollZoom: false });
  };

  const places = [...document.querySelectorAll(".plot")];
  const drawAll = () => places.filter((place) => place.dataset.drawn).forEach(draw);
  const first = (place) => { if (!place.dataset.drawn) { place.dataset.drawn = "yes"; draw(place); } };

  // The first stream's figures are drawn at once; later ones when they come near the window or the browser has time, and all of them before printing.
  const near = new IntersectionObserver((seen) => seen.forEach((entry) => {
    if (entry.isIntersecting) { near.unobserve(entry.target); first(entry.target); }
  }), { rootMargin: "600px" });
  const later = places.filter((place) => place.dataset.section !== "s1");
  places.filter((place) => !later.includes(place)).forEach(first);
  later.forEach((place) => near.observe(place));
  const idle = window.requestIdleCallback || ((call) => setTimeout(call, 50));
  const rest = () => {
    const place = later.find((other) => !other.dataset.drawn);
    if (place) { near.unobserve(place); first(place); idle(rest); }
  };
  addEventListener("load", () => idle(rest));

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("printing"); places.forEach((place) => { place.dataset.drawn = "yes"; draw(place); }); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("printing"); drawAll(); });

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".legend button");
    if (!button) return;
    const key = button.dataset.section + "/" + button.dataset.method;
    if (!hidden.delete(key)) hidden.add(key);
    document.querySelectorAll(".legend button").forEach((other) => {
      if (other.dataset.section + "/" + other.dataset.method === key) other.setAttribute("aria-pressed", String(!hidden.has(key)));
    });
    places.filter((place) => place.dataset.section === button.dataset.section && place.dataset.drawn).forEach(draw);
  });
})();
