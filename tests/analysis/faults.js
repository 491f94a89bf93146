() => {
  const wide = document.documentElement.clientWidth, found = [];
  const shortened = (text) => text.trim().slice(0, 40);
  const isShown = (item) => item.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !item.closest("script, style, option, noscript");

  /* ---- Out of the page, out of its card ---- */
  for (const item of document.querySelectorAll("main *, header *")) {
    const box = item.getBoundingClientRect();
    if (box.width && !item.closest("details") && (box.left < -1 || box.right > wide + 1)) found.push(`out of the page: ${item.tagName} ${shortened(item.textContent)}`);
  }
  for (const item of document.querySelectorAll(".verdict, .notice, .tile, table.cards td > *")) {
    const box = item.getBoundingClientRect(), around = item.closest("tr") ?? item.parentElement;
    const frame = around.getBoundingClientRect();
    if (box.width && !item.closest("details") && (box.right > frame.right + 1 || box.left < frame.left - 1 || item.scrollWidth > item.clientWidth + 1 && item.clientWidth))
      found.push(`out of its ${around.tagName}: ${shortened(item.textContent)}`);
  }

  /* ---- Pictures ---- */
  for (const svg of document.querySelectorAll(".plot svg")) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 3 || box.right > frame.right + 3 || box.top < frame.top - 3 || box.bottom > frame.bottom + 3)
        found.push(`out of its picture: ${text.textContent}`);
      if (parseFloat(getComputedStyle(text).fontSize) * frame.width / svg.viewBox.baseVal.width < 6.5) found.push(`too small: ${text.textContent}`);
    }
  }

  /* ---- Text over text. A letter's box is higher than the letter: a fifth of it, above and below, may be shared ---- */
  const clipped = (box, item) => {
    let { left, right, top, bottom } = box;
    for (let around = item; around; around = around.parentElement) {
      const style = getComputedStyle(around);
      if (style.overflowX === "visible" || around instanceof SVGElement) continue;
      const frame = around.getBoundingClientRect();
      [left, right, top, bottom] = [Math.max(left, frame.left), Math.min(right, frame.right), Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
    }
    const share = (bottom - top) / 5;
    return { left: left + 1, right: right - 1, top: top + share, bottom: bottom - share };
  };
  const boxes = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const item = node.parentElement;
    if (!node.data.trim() || !isShown(item)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of item instanceof SVGElement ? [item.closest("text").getBoundingClientRect()] : range.getClientRects()) {
      const seen = clipped(box, item);
      if (seen.right > seen.left && seen.bottom > seen.top) boxes.push({ ...seen, item, text: shortened(node.data) });
    }
  }
  boxes.sort((a, b) => a.top - b.top);
  boxes.forEach((a, i) => {
    for (let k = i + 1; k < boxes.length && boxes[k].top < a.bottom; k++) {
      const b = boxes[k];
      if (b.left < a.right && b.right > a.left && a.item.closest("text, td, body") !== b.item.closest("text")) found.push(`"${a.text}" over "${b.text}"`);
    }
  });

  /* ---- Text that its background swallows: below 4.5 to 1 of WCAG ---- */
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true }), known = {};
  const luminance = (colour) => known[colour] ??= (() => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => (part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  })();
  const behind = (item) => {
    for (let around = item; around; around = around.parentElement) {
      const colour = getComputedStyle(around).backgroundColor;
      if (!/^rgba\(.*, 0\)$/.test(colour)) return colour;
    }
    return "white";
  };
  const pairs = new Map();
  for (const { item, text } of boxes) {
    const style = getComputedStyle(item);
    pairs.set(`${item instanceof SVGElement ? style.fill : style.color} on ${behind(item)}`, text);
  }
  for (const [pair, text] of pairs) {
    const [front, back] = pair.split(" on ").map(luminance);
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (contrast < 4.5) found.push(`cannot be read, ${contrast.toFixed(2)} to 1: ${text} (${pair})`);
  }
  return found;
}
