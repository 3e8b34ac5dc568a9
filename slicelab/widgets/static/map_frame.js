// Tells Python whether this browser can draw with WebGL, and keeps the map's figure as wide as its place.

function hasWebgl() {
  try {
    const context = document.createElement("canvas").getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  } catch {
    return false;
  }
}

function render({ model, el }) {
  // plotly measures its place when the window changes size, but not when the cell around it does.
  let width = 0;
  const resized = new ResizeObserver((entries) => {
    const now = Math.round(entries[0].contentRect.width);
    if (!now || now === width) return;
    width = now;
    window.dispatchEvent(new Event("resize"));
  });
  resized.observe(el);
  model.send({ kind: "webgl", works: hasWebgl() });
  // The figure beside this one can be drawn later than this: measure once more when it has.
  const place = el.closest(".slicelab-map");
  const drawn = new MutationObserver(() => {
    if (place.querySelector(".js-plotly-plot .main-svg")) window.dispatchEvent(new Event("resize"));
  });
  if (place) drawn.observe(place, { childList: true, subtree: true });
  const enough = setTimeout(() => drawn.disconnect(), 15000);
  return () => {
    resized.disconnect();
    drawn.disconnect();
    clearTimeout(enough);
  };
}

export default { render };
