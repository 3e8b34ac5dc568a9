// What the mouse does inside the plot: lassos and boxes, clicks, and the point that it is over.

const STILL = 4; // px: a shorter drag is a click

class Hand {
  // `frame()` gives the rectangle of the plot's inside in the page, and the data's range in it.
  // `told`: outlined(xs, ys), clicked(place, event), over(place, event), away(); places are {x, y, rx, ry} in the data's
  // units, with the size of a pixel.
  constructor(canvas, frame, told) {
    this.canvas = canvas;
    this.frame = frame;
    this.told = told;
    this.tool = "lasso"; // "lasso", "box", or null: a drag is plotly's
    this.path = null;
    const moved = (event) => {
      if (this.tool === "box") this.path.splice(1, this.path.length, this.within(event));
      else this.path.push(this.within(event));
      if (this.tool) this.trace();
    };
    const dropped = (event) => {
      const { path } = this;
      this.end();
      if (event.type !== "pointerup") return;
      const shape = this.corners([...path, this.within(event)]);
      const spread = (axis) => Math.max(...shape.map((p) => p[axis])) - Math.min(...shape.map((p) => p[axis]));
      if (Math.max(spread(0), spread(1)) < STILL) this.told.clicked(this.place(event), event);
      else if (this.tool) this.told.outlined(...this.scaled(shape));
    };
    const escape = (event) => { if (event.key === "Escape") this.end(); };
    this.watched = { pointermove: moved, pointerup: dropped, pointercancel: dropped, keydown: escape };
  }

  listen(plot) {
    const inside = (event) => event.target.closest?.(".nsewdrag");
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !inside(event)) return;
      this.told.away();
      this.path = [this.within(event)];
      for (const [name, act] of Object.entries(this.watched)) window.addEventListener(name, act, true);
    }, true);
    plot.addEventListener("pointermove", (event) => {
      if (this.path || event.buttons) return;
      if (inside(event)) this.told.over(this.place(event), event);
      else this.told.away();
    });
    plot.addEventListener("pointerleave", () => this.told.away());
  }

  within(event) {
    const { left, top, width, height } = this.frame().box;
    return [Math.min(Math.max(event.clientX - left, 0), width), Math.min(Math.max(event.clientY - top, 0), height)];
  }

  scaled(path) {
    const { box, range } = this.frame();
    return [path.map(([x]) => range[0] + (x / box.width) * (range[1] - range[0])),
      path.map(([, y]) => range[3] - (y / box.height) * (range[3] - range[2]))];
  }

  place(event) {
    const { box, range } = this.frame(), [[x], [y]] = this.scaled([this.within(event)]);
    return { x, y, rx: (range[1] - range[0]) / box.width, ry: (range[3] - range[2]) / box.height };
  }

  corners(path) {
    if (this.tool !== "box") return path;
    const [[x, y], [right, bottom]] = [path[0], path[path.length - 1]];
    return [[x, y], [right, y], [right, bottom], [x, bottom]];
  }

  trace() {
    const { canvas } = this, { box } = this.frame(), ratio = window.devicePixelRatio || 1;
    const home = canvas.parentNode.getBoundingClientRect();
    Object.assign(canvas.style, { left: `${box.left - home.left}px`, top: `${box.top - home.top}px`,
      width: `${box.width}px`, height: `${box.height}px` });
    canvas.hidden = false;
    Object.assign(canvas, { width: Math.round(box.width * ratio), height: Math.round(box.height * ratio) }); // clears it
    const to = canvas.getContext("2d", { willReadFrequently: true });
    to.scale(ratio, ratio);
    for (const [x, y] of this.corners(this.path)) to.lineTo(x, y);
    to.closePath();
    to.fillStyle = "rgba(128, 128, 128, 0.12)";
    to.fill();
    to.setLineDash([4, 3]);
    to.lineWidth = 1.5;
    to.strokeStyle = "#767676";
    to.stroke();
  }

  end() {
    this.canvas.hidden = true;
    this.path = null;
    for (const [name, act] of Object.entries(this.watched)) window.removeEventListener(name, act, true);
  }
}
