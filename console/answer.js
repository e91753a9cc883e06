// An answer of statistics: what it adds up to, how far it can be relied on, its chart and its table.

import { download } from './service.js';
import { button, counted, el, find, select, words } from './draw.js';
import { changeOf, unknown } from './cells.js';
import { count, day, decimal, moment } from './numbers.js';
import { drawChart, places } from './chart.js';
import { openEdit } from './form.js';
import { linkOf, overDays, parametersOf, TIMES } from './question.js';
import { Table } from './table.js';

const answer = find('stats-answer');

/** The table that is drawn at present: one that is drawn no more adds no rows. */
let table;

export function clearAnswer() {
  table?.stop();
  answer.replaceChildren();
}

/** Draws the first page of an answer. `about` says of whom and what it is, and how to ask on. */
export function drawAnswer({ body, headers }, about) {
  const { columns, totals, query, integrity, warnings } = body;
  const metrics = columns.filter(({ kind }) => kind === 'metric');
  table = new Table(body, about);
  const chart = el('div', { class: 'chart' });
  answer.replaceChildren(
    el('p', { class: 'asked' }, daysOf(query.from, query.to), `, ${query.timezone ?? 'in a time zone that is not known'}`,
      query.compare && `, compared with ${daysOf(query.compare.from, query.compare.to)}`, '. ', dayOfConversion(query)),
    ...warningsOf(warnings, isOfZone, about),
    el('section', { 'aria-labelledby': 'totals-title' },
      el('h3', { id: 'totals-title' }, 'Totals'),
      totals.length === 0 ? el('p', { class: 'empty' }, 'No traffic in these days.') : el('div', { class: 'totals' }, totals.map((total) => totalOf(total, metrics))),
      ...warningsOf(warnings, isOfMoney, about),
      integrityOf(integrity)),
    chart,
    el('section', { 'aria-labelledby': 'rows-title' },
      el('div', { class: 'bar' }, el('h3', { id: 'rows-title' }, 'Rows'), tools(about)),
      ...warningsOf(warnings, (code) => !isOfZone(code) && !isOfMoney(code), about),
      table.node),
    el('p', { class: 'quiet' }, `${/\bhit\b/.test(headers.get('Cache-Status') ?? '') ? 'Cached since' : 'Fetched'} ${moment(body.fetched_at)}, `,
      `in ${counted(body.source.upstream_calls, 'call', 'calls')} and ${count(body.source.duration_ms)} ms. `,
      button('Ask the platform again', about.refresh, { class: 'plain' })));
  if (totals.length > 0) offerChart(chart, body, about);
}

const daysOf = (from, to) => (from === to ? day(from) : `${day(from)} – ${day(to)}`);

const CONVERSIONS = {
  click: 'A conversion counts on the day of its click.',
  conversion: 'A conversion counts on the day it happened.',
  account_setting: 'On which day a conversion counts is a setting of the account.',
};
const dayOfConversion = ({ day_of_conversion: on }) => el('span', { class: 'quiet' }, CONVERSIONS[on] ?? '');

// ----------------------------------------------------------------------------------------- totals and what is said

function totalOf(total, metrics) {
  const known = metrics.filter(({ key }) => total[key] !== undefined);
  const nameOf = total.currency === null ? 'Currency not known' : total.currency;
  return el('div', { class: 'total' },
    total.currency !== undefined && el('h4', {}, nameOf),
    el('dl', {}, known.map(({ key, label }) => el('div', { 'data-total': key },
      el('dt', {}, label),
      el('dd', {}, el('span', { class: 'amount' }, total[key] === null ? unknown() : decimal(total[key])), changeOf(total, key))))));
}

const AGREES = {
  independent: 'The rows add up to the totals that the platform counts on its own.',
  same_source: 'The rows add up to the total of the same report.',
};

/** What holds the rows against the platform's own numbers, in words. */
function integrityOf(integrity) {
  const one = ({ checked, matches, against, detail }, of) => {
    if (!checked) return el('p', { class: 'quiet' }, of, detail ?? 'The platform gives no totals of its own to hold the rows against.');
    if (matches) return el('p', { class: 'done' }, of, AGREES[against] ?? 'The rows agree with the platform’s own totals.');
    return el('p', { class: 'warning' }, of, 'The platform’s own totals differ. ', detail);
  };
  return [one(integrity), integrity.previous && one(integrity.previous, 'Days compared with: ')];
}

const isOfZone = (code) => /zone/.test(code) || code === 'period_running';
const isOfMoney = (code) => /currenc/.test(code);

/** Warnings stand where they matter. One that a setting of the connection answers leads to it. */
function warningsOf(warnings, isHere, { connection, type }) {
  const settings = Object.keys(type.settings_schema.properties);
  return warnings.filter(({ code }) => isHere(code)).map(({ code, detail }) => {
    const setting = settings.find((key) => code.includes(key) || (key === 'currency' && isOfMoney(code)));
    const edit = setting && button(`Set ${type.settings_schema.properties[setting].title}`, () => {
      location.hash = '#connections';
      openEdit(connection.id, connection.name, `/settings/${setting}`);
    }, { class: 'plain' });
    return el('div', { class: 'warning' }, el('p', {}, detail), edit);
  });
}

// ------------------------------------------------------------------------------------------------ link and file

function tools({ connection, question, outcome, attempt, ask }) {
  const file = (text, options) => button(text, () => attempt(async () => {
    const query = parametersOf({ ...question, limit: '' });
    const { name, blob } = await download(`/connections/${connection.id}/stats`, { query: [...query, ['format', 'csv'], ...options] });
    const url = URL.createObjectURL(blob);
    el('a', { href: url, download: name }).click();
    URL.revokeObjectURL(url);
    outcome.replaceChildren(el('p', { class: 'done' }, `${name} is saved.`));
  }));
  return el('div', { class: 'actions' },
    button('Copy link', () => copyLink(question, outcome)), file('Download CSV', []), file('CSV for Excel', [['bom', 'true']]));
}

async function copyLink(question, outcome) {
  const link = new URL(linkOf(question), location.href).href;
  try {
    await navigator.clipboard.writeText(link);
    outcome.replaceChildren(el('p', { class: 'done' }, 'The link is copied. It carries the question, and no token.'));
  } catch {
    const shown = el('input', { value: link, readonly: true, 'aria-label': 'The link to this question' });
    outcome.replaceChildren(el('p', {}, 'Copy the link from here. It carries the question, and no token.'), shown);
    shown.select();
  }
}

// -------------------------------------------------------------------------------------------------------- chart

/** Rows that are nothing but days are drawn at once; of others the days are asked for when they are wanted. */
function offerChart(box, body, about) {
  const { question, type } = about;
  const [only, ...others] = question.group_by;
  if (others.length === 0 && TIMES.includes(only) && body.next_cursor === null) {
    showChart(box, body, only, about);
    return;
  }
  const asked = overDays(question, type);
  if (!asked) return;
  const title = type.dimensions.find(({ key }) => key === asked.group_by[0]).label;
  box.append(button(`Draw a chart by ${title}`, () => about.attempt(async () => {
    const page = await about.ask(asked, 'Asking for the days');
    showChart(box, page.body, asked.group_by[0], about);
    box.querySelector('select').focus();
  })));
}

function showChart(box, body, key, about) {
  const { columns, rows, totals, query } = body;
  const metrics = columns.filter(({ kind }) => kind === 'metric');
  const currencies = [...new Set(totals.map(({ currency }) => currency))];
  const metric = select('chart', metrics.map(({ key, label }) => [key, label]), { 'aria-label': 'Metric of the chart', change: () => { about.showChart(metric.value); draw(); } });
  metric.value = about.question.chart ?? metrics.find(({ type }) => type === 'money')?.key ?? metrics[0].key;
  if (metric.value === '') metric.value = metrics[0].key;
  const currency = select('chart-currency', currencies.map((code) => [code ?? '', code ?? 'Currency not known']), { 'aria-label': 'Currency of the chart', change: () => draw() });
  const picture = el('div');
  const title = el('h3', { id: 'chart-title' });
  box.replaceChildren(el('section', { 'aria-labelledby': 'chart-title' },
    el('div', { class: 'bar' }, title, el('div', { class: 'actions' }, metric, currencies.length > 1 && currency)),
    about.question.search || Object.keys({ ...about.question.min, ...about.question.max }).length > 0
      ? el('p', { class: 'hint' }, 'Of all rows of the filters; search and bounds are those of the table.') : '',
    picture));

  function draw() {
    const { label, type } = metrics.find(({ key }) => key === metric.value);
    const of = rows.filter((row) => (row.currency ?? '') === currency.value);
    const keys = places(of, key, query);
    const byPlace = new Map(of.map((row) => [row[key].id, row]));
    const now = keys.map((place) => byPlace.get(place)?.[metric.value]);
    const then = keys.map((place) => byPlace.get(place)?.previous?.[metric.value]);
    const unit = type === 'money' ? currency.value : '';
    title.textContent = `${label}${currencies.length > 1 && currency.value ? `, ${currency.value}` : ''}`;
    drawChart(picture, {
      label, unit, keys, isTime: TIMES.includes(key),
      lines: [{ name: 'These days', className: 'now', values: now }, ...(query.compare ? [{ name: words(query.compare.mode), className: 'then', values: then }] : [])],
    });
  }
  draw();
}

