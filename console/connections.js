// The connections: their list and their health, and what can be done with each.

import { call } from './service.js';
import { entryOf, freeOfCharge, typeOf } from './catalogue.js';
import { attempt, button, counted, el, find, named, waiting, words } from './draw.js';
import { count, fromNow, moment } from './numbers.js';
import { closeForm, openAdd, openEdit, whenSaved } from './form.js';
import { OUTCOMES, healthOf, verification } from './verification.js';

const list = find('connections');
const box = find('connections-problem');
const more = find('more-connections');
const search = find('connections-search');

let usage;

/** What of the list is asked for. */
function wanted() {
  const query = Object.entries(Object.fromEntries(new FormData(search))).filter(([, value]) => value !== '');
  return new URLSearchParams(query);
}

const isSearching = () => ['q', 'status'].some((key) => wanted().has(key));

export const loadConnections = () => attempt(box, search, async () => {
  const query = wanted();
  const [page, used] = await waiting(box, 'Loading connections', (signal) => Promise.all([
    call('GET', '/connections', { query, signal }),
    call('GET', '/usage', { signal }),
  ]));
  showUsage(used.body);
  list.replaceChildren();
  search.hidden = page.body.data.length === 0 && !isSearching();
  if (page.body.data.length === 0) box.replaceChildren(isSearching() ? noneFound() : firstRun());
  append(page.body, query);
});

function showUsage(found) {
  usage = found;
  const { plan, limit, used, demo_used: free, over_limit: isOver } = usage;
  find('usage').replaceChildren(
    el('meter', { min: 0, max: Math.max(limit, 1), value: Math.min(used, limit), 'aria-label': 'Connections of the plan that are used' }),
    `${words(plan)} plan: ${count(used)} of ${counted(limit, 'connection', 'connections')} used`,
    free > 0 ? `, and ${count(free)} that ${free === 1 ? 'does' : 'do'} not count` : '',
    isOver ? el('span', { class: 'doubt' }, ' More than the plan allows. All of them keep working.') : '');
}

function append({ data, next_cursor: cursor }, query) {
  list.append(...data.map(connectionItem));
  more.hidden = cursor === null;
  more.onclick = () => attempt(box, search, async () => {
    query.set('cursor', cursor);
    const page = await waiting(box, 'Loading more', (signal) => call('GET', '/connections', { query, signal }));
    const before = list.children.length;
    append(page.body, query);
    list.children[before]?.querySelector('a, button')?.focus();
  });
}

const noneFound = () => el('p', { class: 'empty' }, 'No connection matches. ',
  button('Show all', () => { search.reset(); loadConnections(); }, { class: 'plain' }));

/** Nothing is there yet: what can be tried at once is offered. */
function firstRun() {
  const free = freeOfCharge();
  return el('div', { class: 'empty' },
    el('h3', {}, 'No connections yet'),
    el('p', {}, 'A connection holds the key of a tracker, verified and sealed, and brings its statistics.'),
    free && el('p', {}, el('b', {}, `${free.entry.title}: `), free.entry.summary),
    el('div', { class: 'actions' },
      free && button(`Add a ${free.entry.title} connection`, () => addFree(free), { class: 'primary' }),
      button('Add a connection of your own', () => openAdd({}, usage))));
}

const addFree = ({ entry, type }) => attempt(box, null, async () => {
  const body = { name: entry.title, platform: entry.platform, connection_type: type.connection_type };
  const { body: saved } = await waiting(box, 'Adding', (signal) => call('POST', '/connections', { body, signal }));
  await loadConnections();
  location.hash = `#statistics?connection=${saved.id}`;
});

// -------------------------------------------------------------------------------------------------- one connection

function connectionItem(connection) {
  const { id, name, status, settings, platform } = connection;
  const outcome = el('div', { class: 'outcome', role: 'status' });
  const type = typeOf(connection);
  const { properties } = type.settings_schema;
  const about = Object.entries(settings).map(([key, value]) => `${properties[key]?.title ?? words(key)}: ${value}`);
  const action = (text, className, click) => button(text, click, { class: className, 'aria-label': `${text}: ${name}` });
  return el('li', { 'data-id': id },
    el('h3', {}, named(name), el('span', { class: `badge ${status}` }, words(status))),
    el('p', { class: 'quiet' }, [entryOf(platform).title, type.title, ...about].join(' · ')),
    healthOf(connection),
    el('div', { class: 'actions' },
      el('a', { class: 'button', href: `#statistics?connection=${id}`, 'aria-label': `Statistics: ${name}` }, 'Statistics'),
      action('Edit', 'plain', () => openEdit(id, name, connection.health.reason?.pointer)),
      action('Verify', 'plain', () => verifyAgain(id, outcome)),
      action('History', 'plain', () => showHistory(id, outcome)),
      action('Delete', 'plain', () => askToDelete(connection, outcome)),
      otherType(connection)),
    outcome);
}

/** A connection cannot become one of another type: it is added again as what its key belongs to. */
function otherType({ platform, connection_type: key, settings, health, name }) {
  if (health.reason?.pointer !== '/connection_type') return undefined;
  const types = entryOf(platform).connection_types.filter((type) => type.connection_type !== key);
  return types.map((type) => button(`Add again as ${type.title}`, () => openAdd({ platform, type: type.connection_type, settings }, usage),
    { class: 'plain', 'aria-label': `Add again as ${type.title}: ${name}` }));
}

/** Draws a connection anew, as it stands now; what had the focus has it again. */
export async function refresh(id) {
  const { body } = await call('GET', `/connections/${id}`);
  const old = list.querySelector(`[data-id="${id}"]`);
  const item = connectionItem(body);
  const controls = (node) => [...(node?.querySelectorAll('a, button') ?? [])];
  const place = controls(old).indexOf(document.activeElement);
  old?.replaceWith(item);
  controls(item)[place]?.focus();
  return item;
}

const verifyAgain = (id, outcome) => attempt(outcome, list, async () => {
  const { body } = await waiting(outcome, 'Verifying', (signal) => call('POST', `/connections/${id}/verify`, { signal }));
  const item = await refresh(id);
  item.querySelector('.outcome').replaceChildren(verification(body));
});

/** The last verifications, each with its stages. */
const showHistory = (id, outcome) => attempt(outcome, null, async () => {
  const query = { limit: 10 };
  const { body } = await waiting(outcome, 'Loading', (signal) => call('GET', `/connections/${id}/verifications`, { query, signal }));
  outcome.replaceChildren(body.data.length === 0
    ? el('p', { class: 'quiet' }, 'It has not been verified yet.')
    : el('div', { class: 'history' }, body.data.map((found) => el('details', {},
      el('summary', {}, moment(found.checked_at), ': ', OUTCOMES[found.status]), verification(found)))));
});

// ------------------------------------------------------------------------------------------------------- deleting

const dialog = find('delete-dialog');
const users = find('delete-users');

function askToDelete({ id, name }, outcome) {
  find('delete-text').replaceChildren(named(name), ' and its stored secrets are deleted at once. Everything that still uses it stops working.');
  showUsers(id);
  dialog.returnValue = 'keep';
  dialog.onclose = () => attempt(outcome, list, async () => {
    if (dialog.returnValue !== 'delete') return;
    await waiting(outcome, 'Deleting', (signal) => call('DELETE', `/connections/${id}`, { signal }));
    closeForm();
    await loadConnections();
    find('add-button').focus();
  });
  dialog.showModal();
}

/** Lists the automations that would stop working. */
const showUsers = (id) => attempt(users, null, async () => {
  const query = { limit: 100 };
  const { body } = await waiting(users, 'Looking for automations', (signal) => call('GET', `/connections/${id}/automations`, { query, signal }));
  users.replaceChildren(body.data.length === 0
    ? el('p', { class: 'quiet' }, 'No automation has pulled statistics through it.')
    : el('div', {},
      el('p', {}, body.next_cursor === null ? 'These automations pull statistics through it:' : 'Of the automations that pull statistics through it, the first hundred:'),
      el('ul', { class: 'dots' }, body.data.map(({ automation_id: automation, last_used_at: at }) =>
        el('li', {}, named(automation), el('span', { class: 'quiet' }, ' last ', el('time', { datetime: at, title: moment(at) }, fromNow(at))))))));
});

// ------------------------------------------------------------------------------------------------------- the view

export function startConnections() {
  let typed;
  search.oninput = () => {
    clearTimeout(typed);
    typed = setTimeout(loadConnections, 250);
  };
  search.onsubmit = (event) => {
    event.preventDefault();
    clearTimeout(typed);
    loadConnections();
  };
  find('add-button').onclick = () => openAdd({}, usage);
  whenSaved(() => loadConnections());
}
