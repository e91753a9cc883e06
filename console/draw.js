// Elements, fields, their errors, and what a box shows while it waits or after something failed.

import { ProblemError } from './service.js';
import { count } from './numbers.js';

export const find = (id) => document.getElementById(id);

const SVG = 'http://www.w3.org/2000/svg';

/** Puts attributes and children on a node; what is absent is left out, functions become listeners. */
function furnish(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') node.addEventListener(name, value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

export const el = (tag, attributes = {}, ...children) => furnish(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) => furnish(document.createElementNS(SVG, tag), attributes, children);

/** A name in its own direction. */
export const named = (text) => el('bdi', {}, text);

export const button = (text, click, attributes = {}) => el('button', { type: 'button', click, ...attributes }, text);

/** A key in words: `last_7_days` is "Last 7 days". */
export function words(key) {
  const text = key.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A number of things, called as one or as several are. */
export const counted = (number, one, several) => `${count(number)} ${number === 1 ? one : several}`;

// ----------------------------------------------------------------------------------------------------- fields

let fields = 0;

/** A labelled control with its hint and the place of its error; `pointer` is what errors call it. */
export function field(pointer, label, control, { hint, link, optional = false } = {}) {
  control.id = `field-${++fields}`;
  control.dataset.pointer = pointer;
  control.setAttribute('aria-describedby', `${control.id}-hint ${control.id}-error`);
  return el('div', { class: 'field' },
    el('label', { for: control.id }, label, optional && el('span', { class: 'quiet' }, ' optional')),
    control,
    el('p', { id: `${control.id}-hint`, class: 'hint' }, hint,
      link && [' ', el('a', { href: link, target: '_blank', rel: 'noopener noreferrer' }, 'More', el('span', { class: 'unseen' }, ` about ${label}`))]),
    el('p', { id: `${control.id}-error`, class: 'error' }));
}

/** Controls that are chosen among, under one pointer. */
export function group(pointer, legend, className, controls, hint) {
  const id = `field-${++fields}`;
  return el('fieldset', { id, 'data-pointer': pointer, 'aria-describedby': `${id}-error`, tabindex: -1 },
    el('legend', {}, legend), hint && el('p', { class: 'hint' }, hint),
    el('div', { class: className }, controls), el('p', { id: `${id}-error`, class: 'error' }));
}

export function choice(type, name, value, { checked = false, disabled = false, change }, ...text) {
  return el('label', { class: 'choice' }, el('input', { type, name, value, checked, disabled, change }), el('span', {}, text));
}

export function select(name, options, attributes = {}) {
  return el('select', { name, ...attributes }, options.map(([value, label]) => el('option', { value }, label)));
}

// ----------------------------------------------------------------------------------------------------- errors

export function unmark(form) {
  for (const node of form.querySelectorAll('[data-pointer]')) {
    node.removeAttribute('aria-invalid');
    node.classList.remove('invalid');
    find(`${node.id}-error`).textContent = '';
  }
}

/** Writes an error under the field that a pointer names; `undefined` where the form has no such field. */
export function mark(form, pointer, detail) {
  const node = [...form.querySelectorAll('[data-pointer]')].find((node) => node.dataset.pointer === pointer);
  if (!node) return undefined;
  if (node.matches('fieldset')) node.classList.add('invalid');
  else node.setAttribute('aria-invalid', 'true');
  find(`${node.id}-error`).textContent = detail;
  const folded = node.closest('details');
  if (folded) folded.open = true;
  return node;
}

/** What the browser itself can see: is everything there, and in form? `message` says what is wrong in the service's words. */
export function isComplete(form, message = () => undefined) {
  unmark(form);
  const wrong = [...form.elements].filter((control) => control.dataset.pointer && !control.checkValidity());
  for (const control of wrong) mark(form, control.dataset.pointer, message(control.dataset.pointer) ?? control.validationMessage);
  wrong[0]?.focus();
  return wrong.length === 0;
}

/** Shows a problem: at its fields where the form has them, and in words. */
export function complain(box, form, error) {
  if (!(error instanceof ProblemError)) throw error;
  const { problem, retryAfter } = error;
  const marked = problem.errors.map((wrong) => ({ ...wrong, node: form && mark(form, wrong.pointer, wrong.detail) }));
  const homeless = marked.filter(({ node }) => !node);
  box.replaceChildren(el('div', { class: 'problem' },
    el('h3', {}, problem.title),
    el('p', {}, problem.detail),
    homeless.length > 0 && el('ul', {}, homeless.map(({ pointer, detail }) => el('li', {}, el('code', {}, pointer), ` ${detail}`))),
    problem.hint && el('p', { class: 'advice' }, problem.hint),
    retryAfter && el('p', {}, `It may work again in ${retryAfter} s.`),
    problem.type && el('p', { class: 'quiet' },
      el('a', { href: new URL(`..${problem.type}`, location.href), target: '_blank', rel: 'noopener' }, problem.code),
      ` · request ${problem.request_id}`)));
  marked.find(({ node }) => node)?.node.focus();
}

// ---------------------------------------------------------------------------------------------------- waiting

const running = new Map();

/** Ends what a box waits for. */
export function stopWaiting(box) {
  running.get(box)?.abort();
  running.delete(box);
}

/** Waits for work, shows for how long and lets it be cancelled. A later wait in the same box ends an earlier one. */
export async function waiting(box, text, work) {
  stopWaiting(box);
  const controller = new AbortController();
  running.set(box, controller);
  const started = performance.now();
  const clock = el('span', { 'aria-hidden': 'true' });
  box.replaceChildren(el('p', { class: 'busy' }, text, clock,
    button('Cancel', () => { controller.abort(); box.replaceChildren(); }, { class: 'plain' })));
  const timer = setInterval(() => { clock.textContent = ` ${Math.round((performance.now() - started) / 1000)} s`; }, 1000);
  try {
    const answer = await work(controller.signal);
    controller.signal.throwIfAborted();
    box.replaceChildren();
    return answer;
  } finally {
    clearInterval(timer);
  }
}

/** Runs work that may meet a problem; what was cancelled says nothing. */
export async function attempt(box, form, work) {
  try {
    await work();
  } catch (error) {
    if (error.name !== 'AbortError') complain(box, form, error);
  }
}

/** Lets the page breathe: what was clicked meanwhile is done first. */
export const breathe = () => new Promise((resolve) => { setTimeout(resolve); });
