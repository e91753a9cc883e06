// The table of statistics. Rows are drawn in slices, so that a thousand of them hold nothing up.

import { breathe, button, el, named } from './draw.js';
import { count, dayOrMonth, decimal, fractionDigits, room } from './numbers.js';
import { changeOf, unknown } from './cells.js';
import { TIMES } from './question.js';

const SLICE = 100;

export class Table {
  #isStopped = false;
  #widths = new Map();

  constructor(body, about) {
    const { columns, totals } = body;
    this.about = about;
    this.count = body.row_count;
    this.dimensions = columns.filter(({ kind }) => kind === 'dimension');
    this.metrics = columns.filter(({ kind }) => kind === 'metric');
    // Rows of several currencies are told apart by them, whether there are amounts or not.
    this.hasCurrency = columns.some(({ type }) => type === 'money') || totals.length > 1;
    this.rows = el('tbody');
    this.foot = el('tfoot', {}, this.#measured(totals).map((total) => this.#row(total,
      el('th', { scope: 'row', colspan: Math.max(1, this.dimensions.length) }, 'Total'))));
    this.progress = el('p', { class: 'quiet', role: 'status' });
    this.more = button('Show more rows', () => {});
    const heads = this.dimensions.length > 0 ? this.dimensions.map((column) => this.#heading(column)) : [el('td', {})];
    this.node = el('div', {},
      el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Statistics, row by row' },
        el('table', {},
          el('caption', { class: 'unseen' }, 'Statistics, row by row, and their totals'),
          el('thead', {}, el('tr', {}, heads, this.hasCurrency && el('th', { scope: 'col' }, 'Currency'), this.metrics.map((column) => this.#heading(column)))),
          this.rows, this.foot)),
      el('div', { class: 'bar' }, this.progress, this.more));
    this.append(body);
  }

  /** What is drawn no more adds no rows. */
  stop() {
    this.#isStopped = true;
  }

  /** Adds the rows of a page, slice by slice. */
  async append({ rows, next_cursor: cursor }) {
    this.more.hidden = true;
    this.#measured(rows);
    this.#align();
    for (let at = 0; at < rows.length && !this.#isStopped; at += SLICE) {
      if (at > 0) await breathe();
      this.rows.append(...rows.slice(at, at + SLICE).map((row) => this.#row(row, this.#labels(row))));
    }
    this.progress.textContent = this.count === 0 ? 'No rows match.' : `${count(this.rows.rows.length)} of ${count(this.count)} rows`;
    this.more.hidden = cursor === null;
    const { about } = this;
    this.more.onclick = () => about.attempt(async () => {
      const page = await about.ask(about.question, 'Asking for more', [['cursor', cursor]]);
      await this.append(page.body);
    });
  }

  #labels(row) {
    if (this.dimensions.length === 0) return el('th', { scope: 'row' }, 'All');
    return this.dimensions.map(({ key }, place) => valueCell(key, row[key], place === 0));
  }

  #row(row, labels) {
    return el('tr', {}, labels, this.hasCurrency && el('td', {}, row.currency ?? unknown()), this.metrics.map(({ key }) => this.#number(row, key)));
  }

  /** A number exactly as it came, with what it is compared with. */
  #number(row, key) {
    const value = row[key];
    const shown = value === null ? unknown() : el('span', { 'data-key': key, 'data-digits': fractionDigits(value), 'data-room': room(value, this.#widths.get(key)) }, decimal(value));
    return el('td', { class: 'metric' }, shown, changeOf(row, key));
  }

  /** Notes the most digits behind the point of each metric. */
  #measured(rows) {
    for (const row of rows) {
      for (const { key } of this.metrics) {
        if (row[key] !== null) this.#widths.set(key, Math.max(this.#widths.get(key) ?? 0, fractionDigits(row[key])));
      }
    }
    return rows;
  }

  /** Brings the points of a column under each other: the digits that a value lacks take their room unseen. */
  #align() {
    for (const table of [this.rows, this.foot]) {
      for (const node of table.querySelectorAll('[data-key]')) {
        node.dataset.room = room(`0.${'0'.repeat(node.dataset.digits)}`.replace(/\.$/, ''), this.#widths.get(node.dataset.key));
      }
    }
  }

  #heading({ key, label, kind }) {
    const { sort, group_by: [first] } = this.about.question;
    const [one, other] = kind === 'metric' ? [`-${key}`, key] : [key, `-${key}`];
    const order = { [key]: 'ascending', [`-${key}`]: 'descending' }[sort] ?? (!sort && key === first ? 'ascending' : undefined);
    const { metrics, dimensions } = this.about.type;
    const native = metrics.find((metric) => metric.key === key)?.native;
    // What the platform itself calls a dimension.
    const called = dimensions.find((dimension) => dimension.key === key)?.label ?? label;
    return el('th', { scope: 'col', class: kind, 'data-column': key, 'aria-sort': order },
      button(called, () => this.about.sortBy(sort === one ? other : one), { class: 'plain', title: native }));
  }
}

function valueCell(key, { id, name, partial }, isFirst) {
  const isTime = TIMES.includes(key);
  const shown = id === '' ? el('span', { class: 'quiet' }, 'without one') : named(isTime ? dayOrMonth(key === 'hour' ? name : id) : name ?? id);
  return el(isFirst ? 'th' : 'td', isFirst ? { scope: 'row' } : {}, shown,
    !isTime && id !== '' && name !== null && name !== id && el('small', {}, named(id)),
    partial && el('small', {}, 'partial'));
}
