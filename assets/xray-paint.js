/* Paints the X-ray: a row a block, head groups left and channels right, each cell a pixel or more, or several a pixel.

   MiniPaint.frame(width, cells, hall) says where everything lies, hall: pixels to fill with large letters, 0 on a page; MiniPaint.paint(canvas, frame, shades, marks) draws it.
   shades(row, position, count) gives the mean colour of `count` cells from a position on, as [r, g, b]. */
(() => {
  const GUTTER = 30, GAP = 10, HEADS = 0.14, HIGHEST = 16, LOWEST = 5, TALL = 480, TOP = 18, LARGE = 1.8, NARROW = 560;
  /* Cividis at nine places: from dark blue to yellow, alike to all eyes. */
  const STOPS = [[0, 32, 77], [18, 54, 106], [59, 77, 110], [93, 101, 112], [124, 123, 120], [158, 147, 119], [194, 173, 108],
    [231, 201, 82], [255, 234, 70]];

  const palette = Array.from({length: 256}, (_, tone) => {
    const at = tone / 255 * (STOPS.length - 1), low = Math.min(Math.floor(at), STOPS.length - 2), share = at - low;
    return STOPS[low].map((value, i) => value + (STOPS[low + 1][i] - value) * share);
  });

  const frame = (width, cells, hall = 0) => {
    const blocks = cells.blocks.length, times = hall && width >= NARROW ? LARGE : 1, [top, gutter] = [TOP * times, GUTTER * times];
    const high = Math.max(LOWEST, hall ? Math.floor((hall - top - 2) / blocks) : Math.min(HIGHEST, Math.floor(TALL / blocks)));
    const inner = Math.max(60, width - gutter), heads = Math.max(40, Math.round(HEADS * inner));
    const areas = [{x: gutter, width: heads}, {x: gutter + heads + GAP, width: inner - heads - GAP}];
    return {width, high, areas, top, times, height: top + blocks * high + 2};
  };

  /* Which cell of a row lies at a pixel of its area, and how many share it. */
  const span = (size, width, x) => {
    const from = Math.floor(x * size / width);
    return [from, Math.max(1, Math.floor((x + 1) * size / width) - from)];
  };

  const paint = (canvas, place, cells, shade, colours, marks) => {
    const times = Math.min(window.devicePixelRatio || 1, 2), brush = canvas.getContext("2d");
    canvas.width = place.width * times;
    canvas.height = place.height * times;
    canvas.style.height = place.height + "px";
    brush.setTransform(times, 0, 0, times, 0, 0);
    brush.fillStyle = colours.ground;
    brush.fillRect(0, 0, place.width, place.height);
    brush.imageSmoothingEnabled = false;
    words(brush, place, cells, colours);
    place.areas.forEach((area, kind) => {
      const wide = Math.round(area.width * times), blocks = cells.blocks.length;
      const strip = new OffscreenCanvas(wide, blocks), pen = strip.getContext("2d"), image = pen.createImageData(wide, blocks);
      const pixels = new Uint32Array(image.data.buffer);
      for (let block = 0; block < blocks; block++) {
        const row = 2 * block + kind, size = cells.size(row);
        for (let x = 0; x < wide && size; x++) {
          const [from, count] = span(size, wide, x), edge = wide / size > 8 * times && x && from !== span(size, wide, x - 1)[0];
          const [r, g, b] = edge ? colours.rgb : shade(row, from, Math.min(count, size - from));
          pixels[block * wide + x] = 0xff000000 | b << 16 | g << 8 | r;
        }
      }
      pen.putImageData(image, 0, 0);
      for (let block = 0; block < blocks; block++) {
        brush.drawImage(strip, 0, block, wide, 1, area.x, place.top + block * place.high, area.width, place.high - 1);
      }
    });
    for (const mark of marks) outline(brush, place, cells, mark, colours);
  };

  const words = (brush, place, cells, colours) => {
    brush.fillStyle = colours.text;
    brush.font = `${11 * place.times}px system-ui, sans-serif`;
    brush.textBaseline = "middle";
    const high = place.high / place.times, every = high < 11 ? 4 : high < 14 ? 2 : 1;
    for (let block = 0; block < cells.blocks.length; block += every) {
      brush.fillText(String(block).padStart(2, " "), 4, place.top + (block + 0.5) * place.high);
    }
    const [heads] = place.areas, whole = "head groups", named = brush.measureText(whole).width <= heads.width ? whole : "heads";
    brush.fillText(named, heads.x, place.top / 2, heads.width);
    brush.fillText(cells.ffns, place.areas[1].x, place.top / 2);
  };

  /* mark: {row, position, count: 1, colour}: a frame around cells that lie beside each other. */
  const outline = (brush, place, cells, mark, colours) => {
    const area = place.areas[mark.row & 1], y = place.top + (mark.row >> 1) * place.high, size = cells.size(mark.row);
    const wide = Math.max(3, (mark.count ?? 1) * area.width / size), x = area.x + mark.position * area.width / size;
    for (const [colour, width] of [[colours.ground, 4], [mark.colour ?? colours.text, 2]]) {
      brush.strokeStyle = colour;
      brush.lineWidth = width;
      brush.strokeRect(x - 1, y - 1, wide + 2, place.high + 1);
    }
  };

  /* The cell under a point: {row, position}, or null. */
  const at = (place, cells, x, y) => {
    const block = Math.floor((y - place.top) / place.high), kind = place.areas.findIndex(a => x >= a.x && x < a.x + a.width);
    if (kind < 0 || block < 0 || block >= cells.blocks.length) return null;
    const row = 2 * block + kind, area = place.areas[kind], size = cells.size(row);
    return size ? {row, position: Math.min(size - 1, Math.floor((x - area.x) * size / area.width))} : null;
  };

  window.MiniPaint = {palette, frame, paint, at};
})();
