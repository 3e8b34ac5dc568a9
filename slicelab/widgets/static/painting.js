// Points and their density as pixels of a canvas. Every point is stamped into one picture that the canvas gets whole:
// to ask the canvas for each point takes ten times as long, and SVG or WebGL make every frame of the page dearer.

const MARGIN = 24; // px around the picture, so that no stamp has to be cut
const SHADES = 48;
const NEUTRAL = "#8C8C8C";
// Cividis: J. Nunez, C. Anderton, R. Renslow, "Optimizing colormaps with consideration for color vision deficiency" (2018).
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55",
  "#fee838"];
const SCALE = CIVIDIS.map((colour, i) => [i / (CIVIDIS.length - 1), colour]);

const rgb = (colour) => [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16));

function shade(share) {
  const at = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1), low = Math.min(Math.floor(at), CIVIDIS.length - 2);
  const [from, to] = [rgb(CIVIDIS[low]), rgb(CIVIDIS[low + 1])];
  return from.map((value, i) => Math.round(value * (low + 1 - at) + to[i] * (at - low)));
}

const shapes = new Map();

// How much of each pixel one of plotly's symbols covers: {side, cover: 0 to 255}.
function shapeOf(symbol, size, ratio) {
  const key = `${symbol} ${size} ${ratio}`;
  if (!shapes.has(key)) shapes.set(key, drawnShape(symbol, size, ratio));
  return shapes.get(key);
}

function drawnShape(symbol, size, ratio) {
  const side = 2 * Math.ceil(0.75 * size * ratio) + 1;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const to = canvas.getContext("2d", { willReadFrequently: true }), r = size / 2;
  to.translate(side / 2, side / 2);
  to.scale(ratio, ratio);
  const corners = {
    square: [[-r, -r], [r, -r], [r, r], [-r, r]],
    diamond: [[0, -1.3 * r], [1.3 * r, 0], [0, 1.3 * r], [-1.3 * r, 0]],
    "triangle-up": [[0, -1.15 * r], [r, 0.6 * r], [-r, 0.6 * r]],
  }[symbol];
  to.beginPath();
  if (symbol === "x" || symbol === "cross") {
    if (symbol === "x") to.rotate(Math.PI / 4);
    const [long, wide] = [1.2 * r, 0.4 * r];
    to.rect(-long, -wide, 2 * long, 2 * wide);
    to.rect(-wide, -long, 2 * wide, 2 * long);
  } else if (corners) corners.forEach(([x, y]) => to.lineTo(x, y));
  else to.arc(0, 0, r, 0, 2 * Math.PI);
  to.fill();
  const pixels = to.getImageData(0, 0, side, side).data;
  return { side, cover: Uint8Array.from({ length: side * side }, (_, i) => pixels[4 * i + 3]) };
}

class Painting {
  constructor(canvas) {
    this.canvas = canvas;
    // Pictures that are put in whole are kept where they are made: a canvas on the GPU is dear at every frame of the page
    // where that is done in software.
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
  }

  // Set the canvas upon a rectangle of the page, `range` being what of the data lies in it.
  fit({ box, range }) {
    const { canvas } = this, home = canvas.parentNode.getBoundingClientRect();
    this.ratio = window.devicePixelRatio || 1;
    this.range = range;
    [this.width, this.height] = [box.width, box.height].map((side) => Math.max(1, Math.round(side * this.ratio)));
    Object.assign(canvas.style, { left: `${box.left - home.left}px`, top: `${box.top - home.top}px`,
      width: `${box.width}px`, height: `${box.height}px` });
    if (canvas.width !== this.width || canvas.height !== this.height) {
      Object.assign(canvas, { width: this.width, height: this.height });
      this.picture = null;
    }
    canvas.hidden = false;
  }

  // Draw rows (in `points.sorted` order) of which `shown(layer)` is true; returns how many are in sight.
  points(points, layers, rows, shown, frame) {
    this.fit(frame);
    const { width, height, range, ratio } = this, stride = width + 2 * MARGIN;
    this.picture ??= new ImageData(stride, height + 2 * MARGIN);
    const pixels = this.picture.data.fill(0);
    const [sx, sy] = [width / (range[1] - range[0]), height / (range[3] - range[2])];
    const [low, high] = points.bounds, stamps = new Map();
    const stampOf = (layer, step) => {
      const key = 64 * layer + step;
      if (!stamps.has(key)) {
        const { symbol, size, colour, opacity } = layers[layer];
        const hue = colour ? rgb(colour) : step < 0 ? rgb(NEUTRAL) : shade(step / SHADES);
        stamps.set(key, stamped(shapeOf(symbol, size, ratio), stride, hue, opacity));
      }
      return stamps.get(key);
    };
    let painted = 0;
    for (const row of rows) {
      const layer = points.codes[row];
      if (!shown(layer)) continue;
      const x = (points.places[2 * row] - range[0]) * sx, y = height - (points.places[2 * row + 1] - range[2]) * sy;
      if (!(x >= 0 && x <= width && y >= 0 && y <= height)) continue;
      const share = points.values ? (points.values[row] - low) / (high - low || 1) : NaN;
      blend(pixels, stampOf(layer, share === share ? Math.round(share * SHADES) : -1),
        4 * ((Math.floor(y) + MARGIN) * stride + Math.floor(x) + MARGIN));
      painted++;
    }
    straighten(pixels);
    const to = this.context;
    to.clearRect(0, 0, width, height);
    to.putImageData(this.picture, -MARGIN, -MARGIN);
    return painted;
  }

  // Draw how many units lie where.
  density(points, frame) {
    this.fit(frame);
    const counts = points.density(this.range), most = Math.log(counts.reduce((a, b) => Math.max(a, b), 1) + 1);
    const picture = new ImageData(BINS, BINS);
    counts.forEach((count, i) => {
      if (!count) return;
      const at = 4 * ((BINS - 1 - Math.floor(i / BINS)) * BINS + (i % BINS));
      picture.data.set([...shade(Math.log(count + 1) / most), 255], at);
    });
    const small = document.createElement("canvas");
    small.width = small.height = BINS;
    small.getContext("2d").putImageData(picture, 0, 0);
    const to = this.context;
    to.clearRect(0, 0, this.width, this.height);
    to.imageSmoothingEnabled = false;
    to.drawImage(small, 0, 0, this.width, this.height);
  }

  clear() {
    this.canvas.hidden = true;
  }
}

// A shape in one colour: where its pixels lie from the middle one, in bytes, and their colour times opacity.
function stamped({ side, cover }, stride, hue, opacity) {
  const middle = (side - 1) / 2, at = [], colour = [];
  cover.forEach((part, i) => {
    if (!part) return;
    at.push(4 * ((Math.floor(i / side) - middle) * stride + (i % side) - middle));
    const alpha = part * opacity;
    colour.push(...hue.map((value) => (value * alpha) / 255), alpha);
  });
  return { at: Int32Array.from(at), colour: Float32Array.from(colour) };
}

// "Over" of T. Porter and T. Duff, "Compositing digital images" (1984), on colours that are multiplied by their alpha.
function blend(pixels, { at, colour }, middle) {
  for (let i = 0, c = 0; i < at.length; i++, c += 4) {
    const p = middle + at[i], keep = 1 - colour[c + 3] / 255;
    pixels[p] = colour[c] + pixels[p] * keep;
    pixels[p + 1] = colour[c + 1] + pixels[p + 1] * keep;
    pixels[p + 2] = colour[c + 2] + pixels[p + 2] * keep;
    pixels[p + 3] = colour[c + 3] + pixels[p + 3] * keep;
  }
}

// A canvas takes colours that aren't multiplied.
function straighten(pixels) {
  for (let p = 0; p < pixels.length; p += 4) {
    const alpha = pixels[p + 3];
    if (!alpha || alpha === 255) continue;
    pixels[p] = (pixels[p] * 255) / alpha;
    pixels[p + 1] = (pixels[p + 1] * 255) / alpha;
    pixels[p + 2] = (pixels[p + 2] * 255) / alpha;
  }
}
