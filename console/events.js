// What happened to the health of connections, newest first.

import { call } from './service.js';
import { catalogue } from './catalogue.js';
import { attempt, el, find, named, waiting, words } from './draw.js';
import { day, fromNow, moment } from './numbers.js';
import { finderOf, ownerOf } from './verification.js';

const list = find('events');
const box = find('events-problem');
const later = find('later-events');

/** Pages that are read at once. The feed begins with what is oldest. */
const PAGES = 20;
/** The most events that are shown. */
const SHOWN = 200;

let cursor;

export const openEvents = () => attempt(box, null, async () => {
  cursor = undefined;
  list.replaceChildren();
  await readOn();
});

/** Reads on where the last page ended, and shows the newest. */
async function readOn() {
  later.hidden = true;
  const hasMore = await waiting(box, 'Loading events', async (signal) => {
    for (let page = 0; page < PAGES; page++) {
      const { body } = await call('GET', '/events', { query: { limit: 100, ...(cursor ? { cursor } : {}) }, signal });
      cursor = body.next_cursor;
      list.prepend(...body.data.map(eventItem).reverse());
      while (list.children.length > SHOWN) list.lastChild.remove();
      if (!body.has_more) return false;
    }
    return true;
  });
  if (list.children.length === 0) {
    box.replaceChildren(el('p', { class: 'empty' }, 'Nothing has happened yet. When a connection stops working, works again or its key is about to expire, it is listed here.'));
  }
  later.hidden = false;
  later.textContent = hasMore ? 'Show later events' : 'Look for later events';
}

function eventItem({ type, created_at: at, connection, data }) {
  const { reason, automations } = data;
  return el('li', {},
    el('p', {}, el('b', {}, words(type.split('.').at(-1))), ' · ', named(connection.name),
      el('span', { class: 'quiet' }, ' · ', el('time', { datetime: at, title: moment(at) }, fromNow(at)))),
    reason && el('p', {}, catalogue.failure_codes.find(({ code }) => code === reason.code)?.title ?? words(reason.code), '. ', reason.hint),
    reason && el('p', { class: 'quiet' }, ownerOf(reason.owner), reason.source && ` Found by ${finderOf(reason.source)}.`),
    data.credentials_expire_at && el('p', {}, `Its key expires on ${day(data.credentials_expire_at)}.`),
    automations.length > 0 && el('p', { class: 'quiet' }, 'Used by ', automations.map((name, place) => [place > 0 && ', ', named(name)])));
}

export function startEvents() {
  later.onclick = () => attempt(box, null, readOn);
}
