// Filters: values are chosen by their names, which the service knows from the last days.

import { call } from './service.js';
import { attempt, button, el, field, named, select, stopWaiting, waiting } from './draw.js';
import { count } from './numbers.js';
import { TIMES } from './question.js';

const PAUSE_MS = 250;
const NOTHING = 'without one';

const nameOf = ({ id, name }) => (id === '' ? NOTHING : name ?? id);

/** The filters of a question about one connection; `settle` is called when one comes, goes or changes. */
export class Filters {
  #chosen = new Map();
  #names = new Map();

  constructor({ connection, type, zone, filters, settle }) {
    this.connection = connection;
    this.type = type;
    this.zone = zone;
    this.settle = settle;
    this.list = el('div', { class: 'filters' });
    this.adding = select('add-filter', [], { 'aria-label': 'Filter to add' });
    this.offer = el('div', { class: 'actions' }, this.adding, button('Add filter', () => this.#add()));
    this.node = el('div', { class: 'filters' }, this.list, this.offer);
    for (const [key, ids] of Object.entries(filters)) if (this.#labelOf(key)) this.#open(key, ids);
    this.#offer();
  }

  /** Ids by dimension; a filter without any is none. */
  get value() {
    return Object.fromEntries([...this.#chosen].filter(([, ids]) => ids.size > 0).map(([key, ids]) => [key, [...ids]]));
  }

  get keys() {
    return Object.keys(this.value);
  }

  /** Leaves out of the list what does not go together with what is asked. */
  allow(isPossible) {
    for (const option of this.adding.options) option.disabled = !isPossible(option.value);
    const first = [...this.adding.options].find((option) => !option.disabled);
    if (this.adding.selectedOptions[0]?.disabled) this.adding.value = first?.value ?? '';
  }

  #labelOf(key) {
    return this.type.dimensions.find((dimension) => dimension.filterable && dimension.key === key)?.label;
  }

  #offer() {
    const left = this.type.dimensions.filter(({ key, filterable }) => filterable && !this.#chosen.has(key));
    this.adding.replaceChildren(...left.map(({ key, label }) => el('option', { value: key }, label)));
    this.offer.hidden = left.length === 0;
  }

  #add() {
    const key = this.adding.value;
    if (key === '') return;
    const block = this.#open(key, []);
    this.#offer();
    this.settle();
    block.querySelector('input').focus();
  }

  #open(key, ids) {
    const label = this.#labelOf(key);
    this.#chosen.set(key, new Set(ids));
    const chips = el('ul', { class: 'chips' });
    const box = el('div', { class: 'values' });
    const isTime = TIMES.includes(key);
    const input = el('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', dir: 'auto', placeholder: isTime ? 'Exact value' : 'Name or id' });
    const add = button('Add what is typed', () => this.#take(key, input, chips), { class: 'plain' });
    const block = el('div', { class: 'filter' },
      el('div', { class: 'bar' }, el('b', {}, label), button('Remove', () => this.#close(key, block, box), { class: 'plain', 'aria-label': `Remove the filter ${label}` })),
      chips, field(`/filter[${key}]`, `Only ${label}`, input), box, add);
    input.onkeydown = (event) => {
      if (event.key !== 'Enter') return;
      // Enter takes a value; it does not ask the question.
      event.preventDefault();
      this.#take(key, input, chips);
    };
    if (!isTime) {
      let typed;
      const look = () => this.#look(key, input, chips, box);
      input.oninput = () => {
        clearTimeout(typed);
        typed = setTimeout(look, PAUSE_MS);
      };
      input.onfocus = () => { if (box.childElementCount === 0) look(); };
    }
    this.list.append(block);
    this.#drawChips(key, chips);
    return block;
  }

  #close(key, block, box) {
    stopWaiting(box);
    block.remove();
    this.#chosen.delete(key);
    this.#offer();
    this.settle();
    this.adding.focus();
  }

  #take(key, input, chips) {
    if (input.value === '') return;
    this.#choose(key, input.value, true, chips);
    input.value = '';
  }

  #choose(key, id, isChosen, chips) {
    const ids = this.#chosen.get(key);
    if (isChosen) ids.add(id);
    else ids.delete(id);
    this.#drawChips(key, chips);
    this.settle();
  }

  #drawChips(key, chips) {
    const label = this.#labelOf(key);
    chips.replaceChildren(...[...this.#chosen.get(key)].map((id) => {
      const name = nameOf({ id, name: this.#names.get(`${key} ${id}`) });
      const remove = button('×', () => {
        this.#choose(key, id, false, chips);
        const box = chips.parentElement.querySelector('.values');
        for (const tick of box.querySelectorAll('input')) if (tick.value === id) tick.checked = false;
        (chips.querySelector('button') ?? chips.parentElement.querySelector('input')).focus();
      }, { class: 'plain', 'aria-label': `Remove ${name} from ${label}` });
      return el('li', {}, named(name), remove);
    }));
  }

  #look(key, input, chips, box) {
    // Removed while somebody was still typing.
    if (!this.#chosen.has(key)) return undefined;
    return attempt(box, null, async () => {
      const query = { limit: 25, timezone: this.zone(), ...(input.value.trim() === '' ? {} : { q: input.value.trim() }) };
      const { body } = await waiting(box, 'Looking', (signal) =>
        call('GET', `/connections/${this.connection}/dimensions/${key}/values`, { query, signal }));
      for (const { id, name } of body.data) this.#names.set(`${key} ${id}`, name);
      this.#drawChips(key, chips);
      const chosen = this.#chosen.get(key);
      box.replaceChildren(
        el('ul', { class: 'ticks-down' }, body.data.map((value) => el('li', {}, el('label', {},
          el('input', { type: 'checkbox', value: value.id, checked: chosen.has(value.id), change: (event) => this.#choose(key, value.id, event.target.checked, chips) }),
          named(nameOf(value)), value.name !== null && value.name !== value.id && value.id !== '' && el('small', {}, named(value.id)),
          el('small', {}, `${count(value.clicks)} clicks`))))),
        el('p', { class: 'hint', role: 'status' }, body.data.length === 0 ? 'No value of the last 30 days has such a name. You can still type an id.'
          : body.truncated ? 'The values with the most clicks in the last 30 days. Type to find others.' : 'These are all values of the last 30 days.'));
    });
  }
}
