// Webhooks: addresses that are notified of events, and what came of it.

import { call } from './service.js';
import { attempt, button, el, field, find, isComplete, named, waiting, words } from './draw.js';
import { fromNow, moment } from './numbers.js';

const list = find('webhooks');
const box = find('webhooks-problem');
const more = find('more-webhooks');
const form = find('webhook-form');
const formBox = find('webhook-outcome');

const PAUSED = {
  failures: 'Paused: an event could not be delivered for three days. What it missed is among the events.',
  gone: 'Paused: the receiver answered that it is gone.',
};

export const openWebhooks = () => attempt(box, null, async () => {
  list.replaceChildren();
  await append();
  if (list.children.length === 0) {
    box.replaceChildren(el('p', { class: 'empty' }, 'There is no webhook yet. Add an address of yours, and it is notified when a connection stops working.'));
  }
});

async function append(cursor) {
  const query = cursor ? { cursor } : {};
  const { body } = await waiting(box, 'Loading webhooks', (signal) => call('GET', '/webhooks', { query, signal }));
  list.append(...body.data.map(webhookItem));
  more.hidden = body.next_cursor === null;
  more.onclick = () => attempt(box, null, () => append(body.next_cursor));
}

function webhookItem(webhook) {
  const { id, url, events, active: isActive, paused_reason: paused, description } = webhook;
  const outcome = el('div', { class: 'outcome', role: 'status' });
  const name = description ?? url;
  const action = (text, click) => button(text, () => attempt(outcome, null, click), { class: 'plain', 'aria-label': `${text}: ${name}` });
  const ask = (text, method, path, body) => waiting(outcome, text, (signal) => call(method, `/webhooks/${id}${path}`, { body, signal }));
  const item = el('li', { 'data-id': id },
    el('h3', {}, named(name), el('span', { class: `badge ${isActive ? 'active' : 'unverified'}` }, isActive ? 'Active' : 'Off')),
    el('p', { class: 'quiet' }, description && [named(url), ' · '], events.includes('*') ? 'All events' : events.map((event) => words(event.split('.').at(-1))).join(', ')),
    paused && el('p', { class: 'doubt' }, PAUSED[paused] ?? words(paused)),
    el('div', { class: 'actions' },
      action('Test', async () => {
        const { body } = await ask('Sending a test event', 'POST', '/test');
        outcome.replaceChildren(el('p', {}, body.delivered ? `The receiver took it: ${body.status}.` : body.error));
      }),
      action(isActive ? 'Turn off' : 'Turn on', async () => {
        const { body } = await ask('Changing', 'PATCH', '', { active: !isActive });
        const next = webhookItem(body);
        item.replaceWith(next);
        next.querySelectorAll('button')[1].focus();
      }),
      action('Deliveries', async () => {
        const { body } = await ask('Loading', 'GET', '/deliveries');
        outcome.replaceChildren(deliveries(body.data));
      }),
      action('New secret', async () => {
        const { body } = await ask('Asking for another secret', 'POST', '/rotate-secret');
        outcome.replaceChildren(secretOf(body, 'The old secret signs beside it for 24 hours.'));
      }),
      action('Delete', async () => {
        await ask('Deleting', 'DELETE', '');
        await openWebhooks();
        form.querySelector('input').focus();
      })),
    outcome);
  return item;
}

const secretOf = ({ secret }, note) => el('div', { class: 'done' },
  el('p', {}, 'Deliveries are signed with this secret. It is shown only now: keep it where the receiver finds it. ', note),
  el('p', {}, el('code', {}, secret)));

const deliveries = (attempts) => attempts.length === 0
  ? el('p', { class: 'quiet' }, 'Nothing has been sent yet.')
  : el('ul', { class: 'dots' }, attempts.map(({ type, at, outcome, status, error, attempt: number }) => el('li', {},
    `${words(outcome)}: ${type}`, number > 1 && `, attempt ${number}`, status && `, ${status}`, error && `. ${error}`,
    el('span', { class: 'quiet' }, ' · ', el('time', { datetime: at, title: moment(at) }, fromNow(at))))));

export function startWebhooks() {
  const url = el('input', { name: 'url', type: 'url', required: true, maxlength: 2048, autocomplete: 'off' });
  const description = el('input', { name: 'description', maxlength: 200, autocomplete: 'off', dir: 'auto' });
  form.replaceChildren(
    el('div', { class: 'row' },
      field('/url', 'Address', url, { hint: 'A public https address. Every event is sent there, signed.' }),
      field('/description', 'Description', description, { hint: 'What it is for.', optional: true })),
    el('div', { class: 'actions' }, el('button', { class: 'primary' }, 'Add the webhook')));
  form.onsubmit = (event) => {
    event.preventDefault();
    if (!isComplete(form)) return;
    attempt(formBox, form, async () => {
      const body = { url: url.value.trim(), description: description.value.trim() || null };
      const { body: created } = await waiting(formBox, 'Adding', (signal) => call('POST', '/webhooks', { body, signal }));
      form.reset();
      await openWebhooks();
      formBox.replaceChildren(secretOf(created));
    });
  };
}
