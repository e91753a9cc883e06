// Values as cells and totals show them.

import { el } from './draw.js';
import { decimal, percentOf, signOf } from './numbers.js';

/** What is not known is a dash, not a zero. */
export const unknown = () => el('abbr', { title: 'not known' }, '–');

const DIRECTIONS = { '-1': ['▼', 'down'], 0: ['=', 'the same:'], 1: ['▲', 'up'] };

/** How far a number is from what it is compared with, by an arrow and in words. */
export function changeOf({ previous, change }, key) {
  if (previous === undefined || previous === null) return undefined;
  const then = previous[key];
  if (then === null || then === undefined) return el('small', { class: 'change' }, 'before: not known');
  const ratio = change?.[key];
  if (ratio === null || ratio === undefined) return el('small', { class: 'change' }, `before: ${decimal(then)}`);
  const [arrow, word] = DIRECTIONS[signOf(ratio)];
  return el('small', { class: 'change' }, el('span', { 'aria-hidden': 'true' }, `${arrow} `),
    signOf(ratio) === 0 ? `${word} ${decimal(then)}` : `${word} ${percentOf(ratio)} from ${decimal(then)}`);
}
