// Statistics: the question, and the view around its answer.

import { call } from './service.js';
import { catalogue, entryOf, metricLabel, typeOf } from './catalogue.js';
import { attempt, choice, el, field, find, group, isComplete, named, select, stopWaiting, waiting } from './draw.js';
import { clearAnswer, drawAnswer } from './answer.js';
import { Filters } from './filters.js';
import { count } from './numbers.js';
import { goTogether, linkOf, parametersOf, questionOf } from './question.js';

const form = find('stats-form');
const outcome = find('stats-outcome');
const heading = find('stats-title');

const COMPARISONS = [
  ['', 'Nothing'],
  ['previous_period', 'As many days just before'],
  ['previous_week', 'Seven days before'],
  ['previous_month', 'The same days of the month before'],
  ['previous_year', 'The year before, by weekdays'],
];

const ZONES = {
  any: 'Days and hours are counted in this zone.',
  utc_offset: 'The platform counts days at a fixed offset from UTC, the nearest to this zone.',
  account: 'The platform counts days in its account’s own zone, whatever is asked here.',
};

const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

const defaults = () => ({
  group_by: [],
  preset: catalogue.presets.find((key) => key === 'last_7_days') ?? catalogue.presets[0],
  timezone: ownZone(),
  limit: '100',
});

/** What reads the form as a question, and what it is about. */
let current;

/** Shows the view for the question of an address, and asks it. */
export const openStatistics = (parameters) => attempt(outcome, form, async () => {
  form.replaceChildren();
  clearAnswer();
  current = undefined;
  heading.replaceChildren('Statistics');
  const { list, connection } = await waiting(outcome, 'Loading', (signal) => choose(parameters.get('connection'), signal));
  if (!connection) {
    outcome.replaceChildren(el('p', { class: 'empty' }, 'There is no connection yet that could have statistics. ', el('a', { href: '#connections' }, 'Add one')));
    return;
  }
  const type = typeOf(connection);
  const usual = { ...defaults(), group_by: type.dimensions.slice(0, 1).map(({ key }) => key) };
  const question = questionOf(parameters, { ...usual, connection: connection.id });
  drawForm(question, connection, type, list);
  // Platforms are asked for what somebody wants to know, and an address without a question wants nothing yet.
  if (parameters.size > 0) await pull();
  else outcome.replaceChildren(el('p', { class: 'empty' }, 'Choose what to see, then press Show statistics.'));
});

/** The connections to choose from, and the one that is meant: the first, where none is. */
async function choose(id, signal) {
  const { body } = await call('GET', '/connections', { query: { limit: 100, sort: 'name' }, signal });
  const list = body.data;
  const found = list.find((connection) => connection.id === id);
  if (found || id === null) return { list, connection: found ?? list[0] };
  const { body: connection } = await call('GET', `/connections/${encodeURIComponent(id)}`, { signal });
  return { list: [connection, ...list], connection };
}

function drawForm(question, connection, type, connections) {
  heading.replaceChildren('Statistics of ', named(connection.name));
  /** The dimensions in the order they were chosen, which is the order of the columns. */
  const chosen = question.group_by.filter((key) => type.dimensions.some((dimension) => dimension.key === key));
  const which = select('connection', connections.map(({ id, name, platform }) => [id, `${name} (${entryOf(platform).title})`]), { change: () => {
    // Only the form is drawn anew: statistics are asked for when that is wanted.
    const other = connections.find(({ id }) => id === which.value);
    clearAnswer();
    stopWaiting(outcome);
    outcome.replaceChildren();
    drawForm({ ...current.read(), connection: other.id, sort: '', filters: {}, min: {}, max: {}, metrics: undefined }, other, typeOf(other), connections);
    form.elements.connection.focus();
  } });
  which.value = connection.id;
  const range = rangeFields(question, type);
  const zone = el('input', { name: 'timezone', list: 'list-zones', value: question.timezone, required: true, spellcheck: 'false', autocomplete: 'off' });
  const sort = select('sort', []);
  const filters = new Filters({ connection: connection.id, type, zone: () => zone.value, filters: question.filters, settle });
  const ticks = (name, entries, isTicked, change) => entries.map(({ key, label, native }) =>
    choice('checkbox', name, key, { checked: isTicked(key), change }, label, native && el('small', {}, native)));
  const dimensions = ticks('group_by', type.dimensions, (key) => chosen.includes(key), ({ target }) => {
    if (target.checked) chosen.push(target.value);
    else chosen.splice(chosen.indexOf(target.value), 1);
    settle();
    drawSort();
  });
  const metrics = ticks('metrics', type.metrics, (key) => question.metrics?.includes(key) ?? true, drawSort);

  /** What does not go together with what is chosen and filtered already cannot be chosen or filtered. */
  function settle() {
    const filtered = filters.keys;
    for (const box of boxes('group_by')) box.disabled = !box.checked && !goTogether(type.combinations, [...chosen, box.value], filtered);
    filters.allow((key) => goTogether(type.combinations, chosen, [...filtered, key]));
  }

  function drawSort() {
    const before = sort.value || question.sort;
    const columns = [...type.dimensions.filter(({ key }) => chosen.includes(key)), ...type.metrics.filter(({ key }) => isTicked('metrics', key))];
    const orders = columns.flatMap(({ key, label }) => [[key, `${label}, rising`], [`-${key}`, `${label}, falling`]]);
    sort.replaceChildren(...[['', 'By group'], ...orders].map(([value, label]) => el('option', { value }, label)));
    if (orders.some(([value]) => value === before)) sort.value = before;
  }

  const compare = select('compare', COMPARISONS);
  compare.value = question.compare ?? '';

  form.replaceChildren(
    el('div', { class: 'row' },
      field('/connection_id', 'Connection', which), ...range.nodes,
      field('/timezone', 'Time zone', zone, { hint: ZONES[type.timezone] }),
      field('/compare', 'Compare with', compare)),
    group('/group_by', 'Group by', 'ticks', dimensions, `Up to ${type.combinations.max}, in the order you tick them.`),
    filterDetails(question, type, filters),
    el('details', {}, el('summary', {}, 'Metrics, order and size'),
      group('/metrics', 'Metrics', 'ticks', metrics,
        type.unavailable_metrics.length > 0 && `This platform does not know: ${type.unavailable_metrics.map(metricLabel).join(', ')}.`),
      el('div', { class: 'row' }, field('/sort', 'Sort', sort), field('/limit', 'Rows a page', limitOf(question)))),
    boundDetails(question, type),
    el('div', { class: 'actions' }, el('button', { class: 'primary' }, 'Show statistics')));
  drawSort();
  settle();
  current = {
    connection,
    type,
    sort,
    read: () => ({
      ...texts(),
      connection: connection.id,
      chart: question.chart,
      group_by: chosen,
      metrics: boxes('metrics').filter((box) => box.checked).map((box) => box.value),
      filters: filters.value,
      min: bounds('min'),
      max: bounds('max'),
    }),
    showChart: (key) => { question.chart = key; },
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    attempt(outcome, form, pull);
  };
}

/** The range by name, or from a day to another. */
function rangeFields(question, type) {
  const days = ['from', 'to'].map((name) => el('input', { type: 'date', name, required: true, value: question[name] }));
  const named = select('preset', [...catalogue.presets.map((key) => [key, catalogue.preset_labels[key]]), ['', 'From … to …']]);
  named.value = question.preset ?? '';
  const settle = () => days.forEach((input) => {
    input.disabled = named.value !== '';
    input.closest('.field').hidden = input.disabled;
  });
  named.onchange = settle;
  const nodes = [field('/preset', 'Days', named, { hint: `At most ${count(type.max_range_days)} days.` }), field('/from', 'From', days[0]), field('/to', 'To', days[1])];
  settle();
  return { nodes };
}

function limitOf(question) {
  const limit = select('limit', [['25', '25'], ['100', '100'], ['1000', '1000']]);
  limit.value = question.limit;
  if (limit.value === '') limit.value = '100';
  return limit;
}

function filterDetails(question, type, filters) {
  const search = el('input', { name: 'search', type: 'search', value: question.search, maxlength: 200, dir: 'auto', autocomplete: 'off' });
  return el('details', { open: Object.keys(question.filters).length > 0 || Boolean(question.search) }, el('summary', {}, 'Filters and search'),
    type.combinations.only !== null && el('p', { class: 'hint' }, 'On this platform a filter must go together with the grouping.'),
    filters.node,
    field('/search', 'Name or id contains', search, { hint: 'In any of the columns that rows are grouped by.', optional: true }));
}

function boundDetails(question, type) {
  return el('details', { open: Object.keys({ ...question.min, ...question.max }).length > 0 }, el('summary', {}, 'Bounds of metrics'),
    el('p', { class: 'hint' }, 'Keeps rows whose numbers lie between the bounds; unknown numbers never do. Write a rate of 5 percent as 0.05.'),
    el('div', { class: 'row bounds' }, type.metrics.map((metric) => boundFields(metric, question))));
}

function boundFields({ key, label }, question) {
  return ['min', 'max'].map((name) => field(`/${name}[${key}]`, `${label}, at ${name === 'min' ? 'least' : 'most'}`,
    el('input', { 'data-bound': name, 'data-metric': key, inputmode: 'decimal', pattern: '-?[0-9]{1,20}([.][0-9]{1,8})?', value: question[name][key], autocomplete: 'off', placeholder: '0' })));
}

const boxes = (name) => [...form.querySelectorAll(`[name=${name}]`)];
const isTicked = (name, key) => boxes(name).length === 0 || boxes(name).some((box) => box.value === key && box.checked);

function bounds(name) {
  const filled = [...form.querySelectorAll(`[data-bound=${name}]`)].filter(({ value }) => value.trim() !== '');
  return Object.fromEntries(filled.map(({ dataset, value }) => [dataset.metric, value.trim()]));
}

function texts() {
  const names = ['preset', 'from', 'to', 'timezone', 'sort', 'limit', 'compare', 'search'];
  const enabled = names.map((name) => form.elements[name]).filter((control) => control && !control.disabled && control.value !== '');
  return Object.fromEntries(enabled.map((control) => [control.name, control.value.trim()]));
}

/** Asks for the first page, and draws it in place of what was there. */
async function pull({ isFresh = false } = {}) {
  if (!isComplete(form)) return;
  const { connection, type, sort, showChart } = current;
  const question = current.read();
  const link = linkOf(question);
  if (link !== location.hash) history.pushState(null, '', link);
  ownLink().setAttribute('href', link);
  const column = document.activeElement.closest('th')?.dataset.column;
  clearAnswer();
  const ask = (asked, text, options) => waiting(outcome, text, (signal) =>
    call('GET', `/connections/${connection.id}/stats`, { query: [...parametersOf(asked), ...options], signal }));
  const page = await ask(question, 'Asking the platform', isFresh ? [['fresh', 'true']] : []);
  drawAnswer(page, {
    connection,
    type,
    question,
    outcome,
    ask: (asked, text, options = []) => ask(asked, text, options),
    attempt: (work) => attempt(outcome, form, work),
    refresh: () => attempt(outcome, form, () => pull({ isFresh: true })),
    sortBy: (order) => {
      sort.value = order;
      form.requestSubmit();
    },
    showChart: (key) => {
      showChart(key);
      const charted = linkOf(current.read());
      history.replaceState(null, '', charted);
      ownLink().setAttribute('href', charted);
    },
  });
  if (column) document.querySelector(`#stats-answer th[data-column="${column}"] button`)?.focus();
}

/** The way back to the last question. */
const ownLink = () => document.querySelector('nav [data-view=statistics]');

export function forgetQuestion() {
  ownLink().setAttribute('href', '#statistics');
  clearAnswer();
  form.replaceChildren();
  outcome.replaceChildren();
}

export function leaveStatistics() {
  stopWaiting(outcome);
}
