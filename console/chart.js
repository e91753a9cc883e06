// A line over days, drawn as SVG. The table beside it is its text; the slider below reads it out day by day.

import { el, svg } from './draw.js';
import { approximately, dayOfYear, dayOrMonth, decimal, scale } from './numbers.js';

const HEIGHT = 240;
const SIDES = { top: 12, right: 16, bottom: 28, left: 56 };
const DAY_MS = 86_400_000;

/** The places of the horizontal axis: every day of the range, or the values in their order. */
export function places(rows, key, { from, to }) {
  if (key !== 'date') return [...new Set(rows.map((row) => row[key].id))].sort();
  const days = [];
  for (let day = Date.parse(from); day <= Date.parse(to); day += DAY_MS) days.push(new Date(day).toISOString().slice(0, 10));
  return days;
}

/** Steps of a scale from the least to the greatest value, some four of them, at round numbers. */
function steps(least, most) {
  const rough = (most - least || Math.abs(most) || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.floor(least / step) * step;
  const count = Math.ceil((most - first) / step) || 1;
  return Array.from({ length: count + 1 }, (_, at) => Number((first + at * step).toPrecision(12)));
}

/** The parts of a line between values that are not known. */
function runs(values) {
  const found = [[]];
  values.forEach((value, at) => {
    if (value === null || value === undefined) found.push([]);
    else found.at(-1).push([at, approximately(value)]);
  });
  return found.filter((run) => run.length > 0);
}

/** Draws lines `{ name, className, values }` over places into a box, and again whenever its width changes. */
export function drawChart(box, { label, unit, keys, lines, isTime }) {
  const known = lines.flatMap(({ values }) => values.filter((value) => value !== null && value !== undefined).map(approximately));
  if (known.length === 0) {
    box.replaceChildren(el('p', { class: 'empty' }, 'Nothing to draw: no value of these days is known.'));
    return;
  }
  const ticks = steps(Math.min(0, ...known), Math.max(0, ...known));
  const picture = el('div', { class: 'picture' });
  const reading = el('p', { class: 'reading', 'aria-hidden': 'true' });
  const name = (key) => (isTime ? dayOrMonth(key) : key);
  const read = (at) => `${name(keys[at])}: ${lines.map(({ name, values }) =>
    `${lines.length > 1 ? `${name} ` : ''}${values[at] === null || values[at] === undefined ? 'not known' : `${decimal(values[at])}${unit ? ` ${unit}` : ''}`}`).join(', ')}`;
  const slider = el('input', { type: 'range', min: 0, max: keys.length - 1, value: keys.length - 1, 'aria-label': `${label}, read out day by day` });
  let marker;
  let across;
  const point = (at) => {
    slider.value = at;
    slider.setAttribute('aria-valuetext', read(at));
    reading.textContent = read(at);
    marker?.setAttribute('x1', across(at));
    marker?.setAttribute('x2', across(at));
  };
  slider.oninput = () => point(Number(slider.value));

  const draw = (width) => {
    const right = width - SIDES.right;
    const bottom = HEIGHT - SIDES.bottom;
    across = (at) => (keys.length === 1 ? (SIDES.left + right) / 2 : SIDES.left + (at * (right - SIDES.left)) / (keys.length - 1));
    const up = (value) => bottom - ((value - ticks[0]) / (ticks.at(-1) - ticks[0])) * (bottom - SIDES.top);
    const every = Math.ceil(keys.length / Math.max(2, Math.floor((right - SIDES.left) / 76)));
    marker = svg('line', { class: 'marker', y1: SIDES.top, y2: bottom });
    const drawing = svg('svg', {
      role: 'img', 'aria-label': summary(label, unit, keys, lines[0].values, name), width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`,
      pointermove: (event) => {
        const x = event.clientX - drawing.getBoundingClientRect().left;
        const at = Math.round(((x - SIDES.left) / (right - SIDES.left)) * (keys.length - 1));
        point(Math.max(0, Math.min(keys.length - 1, Number.isNaN(at) ? 0 : at)));
      },
    },
    ticks.map((tick) => [
      svg('line', { class: tick === 0 ? 'ground' : 'grid', x1: SIDES.left, x2: right, y1: up(tick), y2: up(tick) }),
      svg('text', { x: SIDES.left - 8, y: up(tick) + 4, 'text-anchor': 'end' }, scale(tick)),
    ]),
    keys.map((key, at) => at % every === 0 && svg('text', { x: across(at), y: HEIGHT - 8, 'text-anchor': at > 0 && at === keys.length - 1 ? 'end' : 'middle' }, /^\d{4}-\d{2}-\d{2}$/.test(key) ? dayOfYear(key) : key)),
    marker,
    [...lines].reverse().map(({ className, values }) => svg('g', { class: className }, runs(values).map((run) => [
      svg('path', { d: run.map(([at, value], place) => `${place === 0 ? 'M' : 'L'}${across(at).toFixed(1)} ${up(value).toFixed(1)}`).join('') }),
      (run.length === 1 || keys.length <= 40) && run.map(([at, value]) => svg('circle', { cx: across(at).toFixed(1), cy: up(value).toFixed(1), r: 3 })),
    ]))));
    picture.replaceChildren(drawing);
    point(Number(slider.value));
  };
  box.replaceChildren(picture, slider, reading,
    lines.length > 1 ? el('ul', { class: 'legend' }, lines.map(({ name, className }) => el('li', { class: className }, name))) : '');
  new ResizeObserver(([{ contentRect: { width } }]) => { if (width > 0) draw(width); }).observe(picture);
}

/** What the drawing says, in a sentence. */
function summary(label, unit, keys, values, name) {
  const known = values.map((value, at) => ({ value, at })).filter(({ value }) => value !== null && value !== undefined);
  if (known.length === 0) return `${label}: no value is known.`;
  const by = (one, other) => approximately(one.value) - approximately(other.value);
  const [least, most] = [known.toSorted(by)[0], known.toSorted(by).at(-1)];
  const says = ({ value, at }) => `${decimal(value)}${unit ? ` ${unit}` : ''} at ${name(keys[at])}`;
  return `${label} from ${name(keys[0])} to ${name(keys.at(-1))}: least ${says(least)}, most ${says(most)}. Every value is in the table.`;
}
