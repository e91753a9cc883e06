// The form that adds a connection or edits one, drawn from the catalogue's schemas. A secret is in it until it is sent,
// and nowhere afterwards: whatever the answer, its field is emptied.

import { call } from './service.js';
import { catalogue, entryOf, typeOf } from './catalogue.js';
import {
  attempt, button, choice, complain, el, field, find, group, isComplete, mark, named, select, stopWaiting, waiting, words,
} from './draw.js';
import { moment } from './numbers.js';
import { rightType, verification } from './verification.js';

const panel = find('form-panel');
const title = find('form-title');
const form = find('connection-form');
const outcome = find('form-outcome');

/** What is called with a connection that was saved. */
let onSaved = () => {};
export const whenSaved = (listener) => { onSaved = listener; };

export function closeForm() {
  stopWaiting(outcome);
  form.replaceChildren();
  outcome.replaceChildren();
  panel.hidden = true;
}

function openPanel(heading) {
  stopWaiting(outcome);
  outcome.replaceChildren();
  panel.hidden = false;
  title.replaceChildren(...heading);
  title.focus();
}

// --------------------------------------------------------------------------------------------- fields of a schema

/** Lists that a setting is chosen from, by what it is called everywhere. */
const LISTS = { currency: 'list-currencies', timezone: 'list-zones' };

/** The fields of a JSON Schema in the order in which a person fills them in. `hints` says more of some. */
function schemaFields(type, part, { values = {}, hints = {}, areOptional = false } = {}) {
  const schema = type[`${part}_schema`];
  return Object.entries(schema.properties).map(([key, property]) => {
    const pointer = `/${part}/${key}`;
    const isRequired = schema.required.includes(key) && !areOptional;
    const { help, help_url: link } = type.fields.find((known) => known.pointer === pointer) ?? {};
    const control = schemaControl(key, property, isRequired, values[key]);
    return field(pointer, property.title, control, { hint: hints[key] ?? help ?? property.description, link, optional: !isRequired });
  });
}

function schemaControl(key, property, required, value) {
  if (property.enum) {
    const blank = required || property.default !== undefined ? [] : [['', '']];
    const control = select(undefined, [...blank, ...property.enum.map((known) => [known, words(known)])], { required });
    control.value = value ?? property.default ?? control.options[0].value;
    return control;
  }
  const isSecret = property.writeOnly || property.format === 'password';
  return el('input', {
    type: isSecret ? 'password' : 'text',
    // A browser that offers the password of some other site would be of no help.
    autocomplete: isSecret ? 'new-password' : 'off',
    spellcheck: 'false',
    dir: 'auto',
    required,
    list: LISTS[key],
    value: value ?? property.default,
    placeholder: property.examples?.[0],
    minlength: property.minLength,
    maxlength: property.maxLength,
    pattern: property.pattern,
  });
}

const nameField = (value, placeholder) => field('/name', 'Name',
  el('input', { name: 'name', required: true, maxlength: 100, placeholder, value, autocomplete: 'off', dir: 'auto' }),
  { hint: 'How you tell it from your other connections.' });

/** Where trackers see this service come from, for those who have to allow it. */
const ownAddresses = () => (catalogue.egress_addresses.length === 0 ? ''
  : el('p', { class: 'hint' }, `Trackers see this service come from ${catalogue.egress_addresses.join(', ')}: allow that where a firewall or a key asks for addresses.`));

/** When the key runs out, where there is one. */
function expiryField(type, value, hint = 'You are notified two weeks before.') {
  if (Object.keys(type.credentials_schema.properties).length === 0) return [];
  const control = el('input', { type: 'date', name: 'credentials_expire_at', value });
  return [field('/credentials_expire_at', 'Key expires on', control, { hint, optional: true })];
}

const controls = () => [...form.querySelectorAll('#form-fields [data-pointer]')];

/** What the fields hold, by part of the body; one that is empty is left out. */
function filledIn() {
  const found = { settings: {}, credentials: {} };
  for (const { value, dataset } of controls()) {
    const [, part, key] = dataset.pointer.split('/');
    if (value === '') continue;
    if (key === undefined) found[part] = value;
    else found[part][key] = value;
  }
  return found;
}

function forgetSecrets() {
  for (const control of controls()) if (control.dataset.pointer.startsWith('/credentials/')) control.value = '';
}

const messages = (type) => (pointer) => type.fields.find((known) => known.pointer === pointer)?.message;

/** Sends the form once it is complete, and shows what came of it. */
const submit = (type, send, refused) => attempt(outcome, form, async () => {
  if (!isComplete(form, messages(type))) return;
  try {
    await send();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    complain(outcome, form, error);
    if (error.problem.verification) showRefusal(error.problem.verification, refused);
  } finally {
    forgetSecrets();
  }
});

function showRefusal(found, refused) {
  const again = Object.keys(found.stages).length > 0 && form.querySelector('[data-pointer^="/credentials/"]');
  outcome.replaceChildren(
    el('p', { class: 'problem' }, 'Nothing was saved.', again && ' Enter the key again to retry: keys are not kept.'), verification(found));
  if (found.failure?.pointer) mark(form, found.failure.pointer, found.failure.detail)?.focus();
  refused?.(found);
}

// ------------------------------------------------------------------------------------------------------- adding

/** Opens the form for a new connection, of this platform and type if they are named. */
export function openAdd({ platform, type, settings } = {}, usage) {
  openPanel(['Add a connection']);
  const platforms = catalogue.data.map((entry) => {
    const isComing = entry.status === 'coming_soon';
    return choice('radio', 'platform', entry.platform, { disabled: isComing, change: () => drawTypes(entry) },
      el('b', {}, entry.title), isComing && el('em', {}, 'Coming soon'), el('small', {}, entry.summary));
  });
  form.replaceChildren(
    usage?.remaining === 0 && el('p', { class: 'warning' }, 'All connections of the plan are used. Delete one or take a larger plan. Connections that do not count can still be added.') || '',
    group('/platform', 'Platform', 'cards', platforms), el('div', { id: 'form-types' }), el('div', { id: 'form-fields' }));
  form.onsubmit = (event) => event.preventDefault();
  if (platform === undefined) return;
  form.querySelector(`[name=platform][value="${platform}"]`).checked = true;
  drawTypes(entryOf(platform), type, { settings });
}

function drawTypes(entry, chosen, values) {
  outcome.replaceChildren();
  const types = entry.connection_types.map((type) =>
    choice('radio', 'connection_type', type.connection_type, { change: () => drawAddFields(entry, type, filledIn()) },
      el('b', {}, type.title), type.recommended && el('em', {}, 'Recommended'),
      el('small', {}, el('strong', {}, 'Sees: '), type.sees),
      el('small', {}, el('strong', {}, 'Choose it if: '), type.use_when)));
  find('form-types').replaceChildren(group('/connection_type', 'Connection type', 'cards wide', types));
  find('form-fields').replaceChildren();
  const known = entry.connection_types;
  const first = known.find((type) => type.connection_type === chosen) ?? known.find((type) => type.recommended) ?? known[0];
  form.querySelector(`[name=connection_type][value="${first.connection_type}"]`).checked = true;
  drawAddFields(entry, first, values);
}

/** Draws the fields of a type; what another type's fields held goes over, but for secrets. */
function drawAddFields(entry, type, { name, settings, credentials_expire_at: expiry } = {}) {
  stopWaiting(outcome);
  outcome.replaceChildren();
  // One form is one wish: if the answer to saving is lost, saving again creates nothing twice.
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  find('form-fields').replaceChildren(
    nameField(name, `My ${entry.title}`),
    ...schemaFields(type, 'settings', { values: settings }), ...schemaFields(type, 'credentials'),
    ...expiryField(type, expiry),
    ownAddresses(),
    choice('checkbox', 'deferred', 'deferred', {}, 'Save at once and verify in the background'),
    actions('Verify and save'));
  form.onsubmit = (event) => {
    event.preventDefault();
    submit(type, () => create(entry, type, key), (found) => offerRightType(entry, type, found));
  };
}

const actions = (text) => el('div', { class: 'actions' },
  el('button', { class: 'primary' }, text), button('Close', () => { closeForm(); find('add-button').focus(); }));

async function create(entry, type, key) {
  const body = { platform: entry.platform, connection_type: type.connection_type, ...filledIn() };
  const isDeferred = form.elements.deferred.checked;
  const query = isDeferred ? { verify: 'deferred' } : {};
  const { body: saved } = await waiting(outcome, isDeferred ? 'Saving' : 'Verifying', (signal) =>
    call('POST', '/connections', { query, body, headers: { 'Idempotency-Key': key }, signal }));
  showSaved(saved);
}

function showSaved(saved) {
  form.replaceChildren();
  form.onsubmit = null;
  outcome.replaceChildren(
    el('p', { class: 'done' }, named(saved.name), ' is saved.'),
    saved.last_verification && verification(saved.last_verification) || '',
    el('div', { class: 'actions' }, el('a', { class: 'button', href: `#statistics?connection=${saved.id}` }, 'Show its statistics'), button('Close', closeForm)));
  title.focus();
  onSaved(saved);
}

/** On a key of another portal: the choice that is wrong is marked, and a button takes the right one. */
function offerRightType(entry, type, found) {
  const right = rightType(type.connection_type, found, entry.connection_types);
  if (!right) return;
  const wrong = form.querySelector('[name=connection_type]:checked');
  const card = wrong.closest('.choice');
  card.classList.add('wrong');
  card.querySelector('span').append(el('em', { class: 'error' }, 'Not the type of this key'));
  const take = button(`Use ${right.title} instead`, () => {
    const values = filledIn();
    form.querySelector(`[name=connection_type][value="${right.connection_type}"]`).checked = true;
    card.classList.remove('wrong');
    card.querySelector('em.error').remove();
    mark(form, '/connection_type', '').classList.remove('invalid');
    drawAddFields(entry, right, values);
    form.querySelector('[data-pointer^="/credentials/"]')?.focus();
  });
  find(`${wrong.closest('fieldset').id}-error`).append(' ', take);
}

// ------------------------------------------------------------------------------------------------------ editing

/** Opens the form of a connection as it stands now; `pointer` names the field that this is about. */
export const openEdit = (id, name, pointer) => attempt(outcome, form, async () => {
  openPanel(['Edit ', named(name)]);
  form.replaceChildren();
  const { body: connection, headers } = await waiting(outcome, 'Loading', (signal) => call('GET', `/connections/${id}`, { signal }));
  drawEdit(connection, headers.get('ETag'), pointer);
});

function drawEdit(connection, etag, pointer) {
  const type = typeOf(connection);
  const { title: platform } = entryOf(connection.platform);
  const stored = Object.entries(connection.credentials).map(([key, { hint, updated_at: at }]) =>
    [key, `Stored${hint ? ` (${hint})` : ''} on ${moment(at)}. It stays as it is unless you enter another.`]);
  form.replaceChildren(
    el('p', { class: 'quiet' }, `${platform} · ${type.title}`),
    el('div', { id: 'form-fields' },
      nameField(connection.name),
      ...schemaFields(type, 'settings', { values: connection.settings }),
      ...schemaFields(type, 'credentials', { hints: Object.fromEntries(stored), areOptional: true }),
      ...expiryField(type, connection.credentials_expire_at, 'Of the key that is stored or, if you enter one, of the new key.'),
      actions('Save')));
  form.onsubmit = (event) => {
    event.preventDefault();
    submit(type, () => update(connection, etag), undefined);
  };
  if (pointer) controls().find((control) => control.dataset.pointer === pointer)?.focus();
}

/** What is different from the connection as it was loaded, as a JSON merge patch. */
function changes({ name, settings, credentials_expire_at: expiry }, now) {
  const patch = {};
  if (now.name !== name) patch.name = now.name;
  const keys = new Set([...Object.keys(settings), ...Object.keys(now.settings)]);
  const changed = [...keys].filter((key) => settings[key] !== now.settings[key]).map((key) => [key, now.settings[key] ?? null]);
  if (changed.length > 0) patch.settings = Object.fromEntries(changed);
  if (Object.keys(now.credentials).length > 0) patch.credentials = now.credentials;
  const last = now.credentials_expire_at ?? null;
  // A new key has a new end, so that it is always named with one.
  if (patch.credentials || last !== expiry) patch.credentials_expire_at = last;
  return patch;
}

async function update(connection, etag) {
  const body = changes(connection, filledIn());
  if (Object.keys(body).length === 0) {
    outcome.replaceChildren(el('p', { class: 'quiet' }, 'Nothing has changed.'));
    return;
  }
  const { body: saved } = await waiting(outcome, body.settings || body.credentials ? 'Verifying' : 'Saving', (signal) =>
    call('PATCH', `/connections/${connection.id}`, { body, headers: { 'If-Match': etag }, signal }));
  showSaved(saved);
}
