// The units' places and layers as the map was told them, and what can be asked of them.

const NOT_DRAWN = 255;
const CELLS = 96; // per side of the grid in which the nearest point is looked for
const BINS = 220; // per side of the density

const aligned = (view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);

class Points {
  constructor(model) {
    this.model = model;
    this.version = 0;
    this.readPlaces();
  }

  readPlaces() {
    this.places = new Float32Array(aligned(this.model.get("places")));
    this.count = this.places.length / 2;
    this.grid = null;
    this.full = this.extent();
    this.readLayers();
  }

  readLayers() {
    this.version++;
    this.codes = new Uint8Array(aligned(this.model.get("codes")));
    const values = this.model.get("values");
    this.values = values.byteLength ? new Float32Array(aligned(values)) : null;
    this.bounds = this.values ? bounds(this.values) : [0, 1];
    this.layers = this.model.get("layers");
    this.order = this.sorted(Array.from({ length: this.count }, (_, row) => row));
  }

  // Rows in the order in which they are drawn: lowest layer first; those without a layer left out.
  sorted(rows) {
    const starts = new Int32Array(this.layers.length + 2);
    for (const row of rows) if (this.codes[row] !== NOT_DRAWN) starts[this.codes[row] + 1]++;
    for (let layer = 1; layer < starts.length; layer++) starts[layer] += starts[layer - 1];
    const order = new Int32Array(starts[this.layers.length]);
    for (const row of rows) if (this.codes[row] !== NOT_DRAWN) order[starts[this.codes[row]]++] = row;
    return order;
  }

  extent() {
    const box = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.count; i++) {
      const x = this.places[2 * i], y = this.places[2 * i + 1];
      if (!(x === x && y === y)) continue;
      if (x < box[0]) box[0] = x;
      if (x > box[1]) box[1] = x;
      if (y < box[2]) box[2] = y;
      if (y > box[3]) box[3] = y;
    }
    if (!(box[0] <= box[1])) return [0, 1, 0, 1];
    const [w, h] = [box[1] - box[0] || 1, box[3] - box[2] || 1];
    return [box[0] - 0.04 * w, box[1] + 0.04 * w, box[2] - 0.04 * h, box[3] + 0.04 * h];
  }

  // Whether more than `limit` of the units lie in a range [x from, to, y from, to].
  exceed(limit, [left, right, low, high]) {
    if (this.count <= limit) return false;
    let found = 0;
    for (const row of this.order) {
      const x = this.places[2 * row], y = this.places[2 * row + 1];
      if (x >= left && x <= right && y >= low && y <= high && ++found > limit) return true;
    }
    return false;
  }

  // How many units lie in each of BINS x BINS bins of a range, rows from the bottom up.
  density([left, right, low, high]) {
    const counts = new Float32Array(BINS * BINS);
    const [sx, sy] = [BINS / (right - left), BINS / (high - low)];
    for (const row of this.order) {
      const x = Math.floor((this.places[2 * row] - left) * sx), y = Math.floor((this.places[2 * row + 1] - low) * sy);
      if (x >= 0 && x < BINS && y >= 0 && y < BINS) counts[y * BINS + x]++;
    }
    return counts;
  }

  // The row nearest to a place, of those within an ellipse of half axes (rx, ry) of which `wanted(row)` is true; or -1.
  nearest(x, y, rx, ry, wanted) {
    const { starts, rows, cell } = (this.grid ??= this.gridded());
    const [left, right] = [cell(x - rx, 0), cell(x + rx, 0)];
    let best = 1, found = -1;
    for (let j = cell(y - ry, 1); j <= cell(y + ry, 1); j++) {
      for (let at = starts[j * CELLS + left]; at < starts[j * CELLS + right + 1]; at++) {
        const row = rows[at], dx = (this.places[2 * row] - x) / rx, dy = (this.places[2 * row + 1] - y) / ry;
        const far = dx * dx + dy * dy;
        if (far <= best && wanted(row)) [best, found] = [far, row];
      }
    }
    return found;
  }

  gridded() {
    const low = [this.full[0], this.full[2]], steps = [this.full[1] - this.full[0], this.full[3] - this.full[2]];
    const cell = (value, axis) =>
      Math.min(Math.max(Math.floor(((value - low[axis]) / steps[axis]) * CELLS), 0), CELLS - 1);
    const starts = new Int32Array(CELLS * CELLS + 1), rows = new Int32Array(this.count);
    const cells = Int32Array.from({ length: this.count }, (_, row) => {
      const x = this.places[2 * row], y = this.places[2 * row + 1];
      return x === x && y === y ? cell(y, 1) * CELLS + cell(x, 0) : -1;
    });
    for (const each of cells) if (each >= 0) starts[each + 1]++;
    for (let i = 0; i < CELLS * CELLS; i++) starts[i + 1] += starts[i];
    const at = starts.slice();
    for (let row = 0; row < this.count; row++) if (cells[row] >= 0) rows[at[cells[row]]++] = row;
    return { starts, rows, cell };
  }

  // Rows inside a polygon (even-odd) of which `wanted(row)` is true.
  inside(xs, ys, wanted) {
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    const [low, high] = [Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (let row = 0; row < this.count; row++) {
      const x = this.places[2 * row], y = this.places[2 * row + 1];
      if (!(x >= left && x <= right && y >= low && y <= high) || !wanted(row)) continue;
      let odd = false;
      for (let a = 0, b = xs.length - 1; a < xs.length; b = a++) {
        if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) odd = !odd;
      }
      if (odd) found.push(row);
    }
    return Int32Array.from(found);
  }
}

function bounds(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}
