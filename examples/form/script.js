// Draws the Add-Connection form and the statistics query from the catalogue (GET /api/v1/platforms). No platform, field,
// dimension or metric is named here: what this file knows is the shape of the catalogue and of the answers.

// ------------------------------------------------------------------------------------------------- the service

/** A problem (RFC 9457) as the service tells it, or one of this page where nothing readable answered. */
class ProblemError extends Error {
  constructor(problem, retryAfter = null) {
    super(problem.detail);
    this.problem = { errors: [], ...problem };
    this.retryAfter = retryAfter;
  }
}

/** The service at one address, for the bearer of one token. */
class Service {
  #token;

  constructor(address, token) {
    this.address = address.trim().replace(/\/+$/, '');
    this.#token = token.trim();
  }

  /** Money and ratios in the answer are text and stay text. */
  async call(method, path, { query = [], body, headers = {}, signal } = {}) {
    const parameters = new URLSearchParams(query);
    const url = `${this.address}/api/v1${path}${parameters.size ? `?${parameters}` : ''}`;
    const json = body === undefined ? {} : { 'Content-Type': 'application/json' };
    let response;
    let answer;
    try {
      response = await fetch(url, {
        method,
        signal,
        credentials: 'omit',
        headers: { Accept: 'application/json', Authorization: `Bearer ${this.#token}`, ...json, ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      const text = await response.text();
      answer = text === '' ? null : JSON.parse(text);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ProblemError({
        title: 'No answer',
        detail: `Nothing that this page can read answered at ${this.address}.`,
        hint: `Is the service running there, and does its CORS_ALLOWED_ORIGINS name ${location.origin}?`,
      });
    }
    if (!response.ok) throw new ProblemError(answer ?? { title: `Status ${response.status}` }, response.headers.get('Retry-After'));
    return { body: answer, headers: response.headers };
  }
}

let service;
let catalogue;

const entryOf = (platform) => catalogue.data.find((entry) => entry.platform === platform);
/** What a metric is called, by any connection type that has it: those that lack it give only its key. */
const labelOf = (key) => catalogue.data
  .flatMap(({ connection_types: types }) => types.flatMap(({ metrics }) => metrics))
  .find((metric) => metric.key === key)?.label ?? words(key);

const typeOf = ({ platform, connection_type: key }) =>
  entryOf(platform).connection_types.find((type) => type.connection_type === key);

// ---------------------------------------------------------------------------------------------------- drawing

const find = (id) => document.getElementById(id);

/** An element; what is absent is left out, functions become listeners. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') node.addEventListener(name, value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** A key in words: `last_7_days` is "Last 7 days". */
function words(key) {
  const text = key.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

let fields = 0;

/** A number of things, called as one or as several are. */
const counted = (count, one, several) => `${count} ${count === 1 ? one : several}`;

/** A labelled control with its hint and the place of its error; `pointer` is what errors call it. */
function field(pointer, label, control, { hint, optional = false } = {}) {
  control.id = `field-${++fields}`;
  control.dataset.pointer = pointer;
  control.setAttribute('aria-describedby', `${control.id}-hint ${control.id}-error`);
  return el('div', { class: 'field' },
    el('label', { for: control.id }, label, optional && el('span', { class: 'quiet' }, ' optional')),
    control,
    el('p', { id: `${control.id}-hint`, class: 'hint' }, hint),
    el('p', { id: `${control.id}-error`, class: 'error' }));
}

/** Controls that are chosen among, under one pointer. */
function group(pointer, legend, className, controls, hint) {
  const id = `field-${++fields}`;
  return el('fieldset', { id, 'data-pointer': pointer, 'aria-describedby': `${id}-error`, tabindex: -1 },
    el('legend', {}, legend), hint && el('p', { class: 'hint' }, hint),
    el('div', { class: className }, controls), el('p', { id: `${id}-error`, class: 'error' }));
}

function choice(type, name, value, { checked = false, disabled = false, change }, ...text) {
  return el('label', { class: 'choice' }, el('input', { type, name, value, checked, disabled, change }), el('span', {}, text));
}

function select(name, options, attributes = {}) {
  return el('select', { name, ...attributes }, options.map(([value, label]) => el('option', { value }, label)));
}

// ----------------------------------------------------------------------------------------------------- errors

function unmark(form) {
  for (const node of form.querySelectorAll('[data-pointer]')) {
    node.removeAttribute('aria-invalid');
    node.classList.remove('invalid');
    find(`${node.id}-error`).textContent = '';
  }
}

/** Writes an error under the field that a pointer names; `undefined` where the form has no such field. */
function mark(form, pointer, detail) {
  const node = [...form.querySelectorAll('[data-pointer]')].find((node) => node.dataset.pointer === pointer);
  if (!node) return undefined;
  if (node.matches('fieldset')) node.classList.add('invalid');
  else node.setAttribute('aria-invalid', 'true');
  find(`${node.id}-error`).textContent = detail;
  const folded = node.closest('details');
  if (folded) folded.open = true;
  return node;
}

/** What the browser itself can see from the schema: is everything there, and in form? */
function isComplete(form, without = []) {
  unmark(form);
  const wrong = [...form.elements].filter((control) =>
    control.dataset.pointer && !without.includes(control.dataset.pointer) && !control.checkValidity());
  for (const control of wrong) mark(form, control.dataset.pointer, control.validationMessage);
  wrong[0]?.focus();
  return wrong.length === 0;
}

/** Shows a problem: at its fields where the form has them, and in words. */
function complain(box, form, error) {
  if (!(error instanceof ProblemError)) throw error;
  const { problem, retryAfter } = error;
  const marked = problem.errors.map((wrong) => ({ ...wrong, node: mark(form, wrong.pointer, wrong.detail) }));
  const homeless = marked.filter(({ node }) => !node);
  const isAllMarked = marked.length > 0 && homeless.length === 0;
  box.replaceChildren(el('div', { class: 'problem' },
    el('h3', {}, problem.title),
    el('p', {}, isAllMarked && !problem.verification ? 'Mend what is marked above.' : problem.detail),
    homeless.length > 0 && el('ul', {}, homeless.map(({ pointer, detail }) => el('li', {}, el('code', {}, pointer), ` ${detail}`))),
    problem.hint && el('p', { class: 'advice' }, problem.hint),
    retryAfter && el('p', {}, `It may work again in ${retryAfter} s.`),
    problem.type && el('p', { class: 'quiet' },
      el('a', { href: service.address + problem.type, target: '_blank', rel: 'noopener' }, problem.code),
      ` · request ${problem.request_id}`)));
  marked.find(({ node }) => node)?.node.focus();
}

const running = new Map();

/** Waits for work, shows for how long and lets it be cancelled. A later wait in the same box ends an earlier one. */
async function waiting(box, text, work) {
  running.get(box)?.abort();
  const controller = new AbortController();
  running.set(box, controller);
  const started = performance.now();
  const clock = el('span', { 'aria-hidden': 'true' });
  box.replaceChildren(el('p', { class: 'busy' }, text, clock,
    el('button', { type: 'button', class: 'plain', click: () => { controller.abort(); box.replaceChildren(); } }, 'Cancel')));
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
async function attempt(box, form, work) {
  try {
    await work();
  } catch (error) {
    if (error.name !== 'AbortError') complain(box, form, error);
  }
}

// ----------------------------------------------------------------------------------------------- verifications

const OUTCOMES = { ok: 'It works', failed: 'It does not work', inconclusive: 'It could not be found out' };
const STAGES = { ok: 'passed', failed: 'failed', skipped: 'skipped' };
const OWNERS = {
  you: 'You can mend this.',
  tracker_admin: 'The tracker’s administrator can mend this.',
  platform: 'The platform has to mend this; try again later.',
  service: 'Whoever runs this service has to mend this.',
};

const FOUND_BY = { verification: 'a verification', pull: 'a pull of statistics', background: 'a check in the background' };

/** The stages in their order, the failure with its field, and what was found out. */
function verification({ status, duration_ms: time, stages, failure, detected }) {
  const known = Object.entries(detected ?? {}).filter(([, value]) => value !== null);
  return el('div', { class: `verification ${status}` },
    el('h3', {}, OUTCOMES[status], el('span', { class: 'quiet' }, ` ${time} ms`)),
    el('ol', { class: 'stages' }, stages.map((stage) => el('li', { class: stage.status },
      el('b', {}, stage.name === 'tls' ? 'TLS' : words(stage.name)), el('span', {}, STAGES[stage.status]),
      el('span', { class: 'time' }, stage.duration_ms === null ? '' : `${stage.duration_ms} ms`),
      stage.detail !== failure?.detail && stage.detail && el('p', {}, stage.detail)))),
    failure && el('div', { class: 'failure' },
      el('p', {}, failure.detail), failure.hint && el('p', { class: 'advice' }, failure.hint),
      el('p', { class: 'quiet' }, OWNERS[failure.owner])),
    status === 'ok' && known.length > 0 && el('dl', {},
      known.map(([key, value]) => [el('dt', {}, words(key)), el('dd', {}, value)])));
}

// -------------------------------------------------------------------------------------------- adding a connection

const addForm = find('add-form');
const addOutcome = find('add-outcome');

function drawAddForm() {
  running.get(addOutcome)?.abort();
  const platforms = catalogue.data.map((entry) => {
    const isComing = entry.status === 'coming_soon';
    return choice('radio', 'platform', entry.platform, { disabled: isComing, change: () => drawTypes(entry) },
      el('b', {}, entry.title), isComing && el('em', {}, 'Coming soon'), el('small', {}, entry.summary));
  });
  addForm.replaceChildren(group('/platform', 'Platform', 'cards', platforms), el('div', { id: 'add-types' }), el('div', { id: 'add-fields' }));
}

function drawTypes(entry) {
  addOutcome.replaceChildren();
  const types = entry.connection_types.map((type) =>
    choice('radio', 'connection_type', type.connection_type, { change: () => drawFields(entry, type) },
      el('b', {}, type.title), type.recommended && el('em', {}, 'Recommended'),
      el('small', {}, el('strong', {}, 'Sees: '), type.sees),
      el('small', {}, el('strong', {}, 'Choose it if: '), type.use_when)));
  find('add-types').replaceChildren(group('/connection_type', 'Connection type', 'cards wide', types));
  find('add-fields').replaceChildren();
  const first = entry.connection_types.find((type) => type.recommended) ?? entry.connection_types[0];
  addForm.querySelector(`[name=connection_type][value="${first.connection_type}"]`).checked = true;
  drawFields(entry, first);
}

function drawFields(entry, type) {
  addOutcome.replaceChildren();
  // One form is one wish: if the answer to saving is lost, saving again creates nothing twice.
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const name = el('input', { name: 'name', required: true, maxlength: 100, placeholder: `My ${entry.title}` });
  const verify = el('button', { type: 'button', click: () => tryOut() }, 'Verify only');
  addForm.onsubmit = (event) => {
    event.preventDefault();
    save(key);
  };
  find('add-fields').replaceChildren(
    field('/name', 'Name', name, { hint: 'How you tell it from your other connections.' }),
    ...schemaFields(type.settings_schema, '/settings'), ...schemaFields(type.credentials_schema, '/credentials'),
    ...expiryField(type),
    el('div', { class: 'actions' }, el('button', { class: 'primary' }, 'Verify and save'), verify));
}

/** When the key runs out, where there is one. */
function expiryField(type) {
  if (Object.keys(type.credentials_schema.properties).length === 0) return [];
  const control = el('input', { type: 'date', name: 'credentials_expire_at' });
  return [field('/credentials_expire_at', 'Key expires on', control, { hint: 'Events tell of it two weeks before.', optional: true })];
}

/** The fields of a JSON Schema: what must be there first, in the order of `required`. */
function schemaFields(schema, at) {
  const optional = Object.keys(schema.properties).filter((key) => !schema.required.includes(key));
  return [...schema.required, ...optional].map((key) => {
    const property = schema.properties[key];
    const isRequired = schema.required.includes(key);
    return field(`${at}/${key}`, property.title, schemaControl(property, isRequired), { hint: property.description, optional: !isRequired });
  });
}

function schemaControl(property, required) {
  if (property.enum) {
    const options = property.enum.map((value) => [value, value]);
    const blank = required || property.default !== undefined ? [] : [['', '']];
    const control = select(undefined, [...blank, ...options], { required });
    control.value = property.default ?? control.options[0].value;
    return control;
  }
  const isSecret = property.writeOnly || property.format === 'password';
  return el('input', {
    type: isSecret ? 'password' : 'text',
    // A browser that offers the password of some other site would be of no help.
    autocomplete: isSecret ? 'new-password' : 'off',
    spellcheck: 'false',
    required,
    value: property.default,
    placeholder: property.examples?.[0],
    minlength: property.minLength,
    maxlength: property.maxLength,
    pattern: property.pattern,
  });
}

/** The form as a body; a field left empty is left out. */
function draft() {
  const body = {
    platform: addForm.elements.platform.value,
    connection_type: addForm.elements.connection_type.value,
    settings: {},
    credentials: {},
  };
  for (const control of find('add-fields').querySelectorAll('[data-pointer]')) {
    const [, place, key] = control.dataset.pointer.split('/');
    if (control.value === '') continue;
    if (key === undefined) body[place] = control.value;
    else body[place][key] = control.value;
  }
  return body;
}

function showVerification(found) {
  addOutcome.replaceChildren(verification(found));
  if (found.failure?.pointer) mark(addForm, found.failure.pointer, found.failure.detail)?.focus();
}

const tryOut = () => attempt(addOutcome, addForm, async () => {
  if (!isComplete(addForm, ['/name'])) return;
  const found = await waiting(addOutcome, 'Verifying', (signal) =>
    service.call('POST', '/connections/verify', { body: draft(), signal }));
  showVerification(found.body);
});

const save = (key) => attempt(addOutcome, addForm, async () => {
  if (!isComplete(addForm)) return;
  try {
    const { body: saved } = await waiting(addOutcome, 'Verifying', (signal) =>
      service.call('POST', '/connections', { body: draft(), headers: { 'Idempotency-Key': key }, signal }));
    drawAddForm();
    addOutcome.replaceChildren(
      el('p', { class: 'done' }, el('b', {}, saved.name), ' is saved.'), saved.last_verification && verification(saved.last_verification));
    find('add-title').focus();
    await loadConnections();
  } catch (error) {
    complain(addOutcome, addForm, error);
    if (error.problem.verification) {
      showVerification(error.problem.verification);
      addOutcome.prepend(el('p', { class: 'problem' }, 'Nothing was saved.'));
    }
  }
});

// -------------------------------------------------------------------------------------------------- the connections

const list = find('connections');
const listBox = find('connections-problem');

const loadConnections = () => attempt(listBox, list, async () => {
  const [page, usage] = await waiting(listBox, 'Loading', (signal) => Promise.all([
    service.call('GET', '/connections', { signal }),
    service.call('GET', '/usage', { signal }),
  ]));
  const { used, limit, demo_used: demos } = usage.body;
  find('usage').textContent = `${used} of ${limit} used${demos > 0 ? `, and ${demos} that do not count` : ''}`;
  list.replaceChildren();
  appendConnections(page.body);
});

function appendConnections({ data, next_cursor: cursor }) {
  list.append(...data.map(connectionItem));
  const more = find('more-connections');
  more.hidden = cursor === null;
  more.onclick = () => attempt(listBox, list, async () => {
    const page = await waiting(listBox, 'Loading', (signal) => service.call('GET', '/connections', { query: { cursor }, signal }));
    appendConnections(page.body);
  });
}

function connectionItem(connection) {
  const { id, name, status, settings } = connection;
  const outcome = el('div', { class: 'outcome', role: 'status' });
  const action = (text, className, click) =>
    el('button', { type: 'button', class: className, 'aria-label': `${text}: ${name}`, click }, text);
  const type = typeOf(connection);
  const { properties } = type.settings_schema;
  const { credentials_expire_at: expiry } = connection;
  const about = Object.entries(settings).map(([key, value]) => `${properties[key]?.title ?? words(key)}: ${value}`);
  return el('li', { 'data-id': id },
    el('p', {}, el('b', {}, name), el('span', { class: `badge ${status}` }, words(status))),
    el('p', { class: 'quiet' }, [entryOf(connection.platform).title, type.title, ...about, ...(expiry ? [`Key expires on ${expiry}`] : [])].join(' · ')),
    healthOf(connection),
    el('div', { class: 'actions' },
      action('Statistics', '', () => openStats(connection)),
      action('Verify', 'plain', () => verifyAgain(id, outcome)),
      action('Delete', 'plain', () => askToDelete(connection, outcome))),
    outcome);
}

/** What is known of a connection's health beyond its status: why it is failing, what keeps it from being checked. */
function healthOf({ health: { since, reason, warning }, last_verification: last, status }) {
  const when = (time) => new Date(time).toLocaleString();
  if (reason) {
    return el('div', { class: 'health' },
      el('p', { class: 'error' }, reason.detail), el('p', { class: 'advice' }, reason.hint),
      el('p', { class: 'quiet' }, OWNERS[reason.owner], since && ` Found by ${FOUND_BY[reason.source]} on ${when(since)}.`));
  }
  if (warning) {
    return el('div', { class: 'health' },
      el('p', { class: 'error' }, warning.detail), el('p', { class: 'quiet' }, `Since ${when(warning.since)}.`));
  }
  return status !== 'active' && last?.failure && el('p', { class: 'error' }, last.failure.detail);
}

/** Draws a connection anew, as it stands now; what had the focus has it again. */
async function refresh(id) {
  const { body } = await service.call('GET', `/connections/${id}`);
  const old = list.querySelector(`[data-id="${id}"]`);
  const item = connectionItem(body);
  const place = [...(old?.querySelectorAll('button') ?? [])].indexOf(document.activeElement);
  old?.replaceWith(item);
  item.querySelectorAll('button')[place]?.focus();
  return item;
}

const verifyAgain = (id, outcome) => attempt(outcome, list, async () => {
  const { body } = await waiting(outcome, 'Verifying', (signal) => service.call('POST', `/connections/${id}/verify`, { signal }));
  const item = await refresh(id);
  item.querySelector('.outcome').replaceChildren(verification(body));
});

function askToDelete({ id, name }, outcome) {
  const dialog = find('delete-dialog');
  find('delete-text').textContent = `${name} and its stored secrets are gone at once, and what still uses it stops working.`;
  dialog.returnValue = 'keep';
  dialog.onclose = () => attempt(outcome, list, async () => {
    if (dialog.returnValue !== 'delete') return;
    await waiting(outcome, 'Deleting', (signal) => service.call('DELETE', `/connections/${id}`, { signal }));
    if (shown === id) show('add');
    await loadConnections();
    find('add-button').focus();
  });
  dialog.showModal();
}

// ------------------------------------------------------------------------------------------------------ statistics

const statsForm = find('stats-form');
const statsOutcome = find('stats-outcome');
const statsTable = find('stats-table');

/** The connection whose statistics are shown. */
let shown = null;

function openStats(connection) {
  show('stats');
  shown = connection.id;
  find('stats-title').textContent = `Statistics: ${connection.name}`;
  find('stats-title').focus();
  drawStatsForm(connection, typeOf(connection));
}

const ZONES = {
  any: 'Days and hours are counted in this zone.',
  utc_offset: 'The platform counts days at a fixed offset from UTC, the nearest to this zone.',
  account: 'The platform counts days in its account’s own zone, whatever is asked here.',
};

function drawStatsForm({ id }, type) {
  /** The dimensions in the order they were chosen, which is the order of the columns. */
  const chosen = [type.dimensions[0].key];
  const custom = [dateInput('from'), dateInput('to')];
  const range = select('preset', [...catalogue.presets.map((key) => [key, words(key)]), ['', 'From … to …']]);
  range.value = catalogue.presets.find((key) => key === 'last_7_days') ?? catalogue.presets[0];
  range.onchange = () => custom.forEach((input) => {
    input.disabled = range.value !== '';
    input.closest('.field').hidden = input.disabled;
  });
  const zone = el('input', { name: 'timezone', list: 'zones', value: Intl.DateTimeFormat().resolvedOptions().timeZone, spellcheck: 'false' });
  const sort = select('sort', []);
  const dimensions = type.dimensions.map(({ key, label }) =>
    choice('checkbox', 'group_by', key, { checked: chosen.includes(key), change: (event) => choose(key, event.target.checked) }, label));
  const metrics = type.metrics.map(({ key, label, native }) =>
    choice('checkbox', 'metrics', key, { checked: true, change: () => drawSort() }, label, el('small', {}, native)));
  const filters = type.dimensions.filter(({ filterable }) => filterable).map(({ key, label }) =>
    field(`/filter[${key}]`, label, el('input', { 'data-filter': key, spellcheck: 'false', input: () => settle() })));

  function choose(key, isChosen) {
    if (isChosen) chosen.push(key);
    else chosen.splice(chosen.indexOf(key), 1);
    settle();
    drawSort();
  }

  /** What does not go together with what is chosen and filtered already cannot be chosen or filtered. */
  function settle() {
    const inputs = [...statsForm.querySelectorAll('[data-filter]')];
    const filtered = inputs.filter((input) => input.value.trim() !== '').map((input) => input.dataset.filter);
    for (const box of boxes('group_by')) box.disabled = !box.checked && !goTogether(type.combinations, [...chosen, box.value], filtered);
    for (const input of inputs) {
      input.disabled = !filtered.includes(input.dataset.filter) && !goTogether(type.combinations, chosen, [...filtered, input.dataset.filter]);
    }
  }

  function drawSort() {
    const before = sort.value;
    const columns = [...type.dimensions.filter(({ key }) => chosen.includes(key)), ...type.metrics.filter(({ key }) => isTicked('metrics', key))];
    const orders = columns.flatMap(({ key, label }) => [[key, `${label}, rising`], [`-${key}`, `${label}, falling`]]);
    sort.replaceChildren(...[['', 'By group'], ...orders].map(([value, label]) => el('option', { value }, label)));
    if (orders.some(([value]) => value === before)) sort.value = before;
  }

  statsForm.replaceChildren(
    group('/group_by', 'Group by', 'ticks', dimensions, `Up to ${type.combinations.max}, in the order you tick them.`),
    el('div', { class: 'row' },
      field('/preset', 'Days', range, { hint: `At most ${type.max_range_days} days` }),
      field('/from', 'From', custom[0]), field('/to', 'To', custom[1]),
      field('/timezone', 'Time zone', zone, { hint: ZONES[type.timezone] }),
      field('/sort', 'Sort', sort),
      field('/limit', 'Rows a page', select('limit', [['25', '25'], ['100', '100'], ['1000', '1000']]))),
    el('datalist', { id: 'zones' }, Intl.supportedValuesOf('timeZone').map((value) => el('option', { value }))),
    el('details', {}, el('summary', {}, 'Filters'), el('p', { class: 'hint' }, 'Only these ids, separated by commas.',
      type.combinations.only !== null && ' Here a filter has to go together with what is grouped by.'), el('div', { class: 'row' }, filters)),
    el('details', {}, el('summary', {}, 'Metrics'), group('/metrics', 'Metrics', 'ticks', metrics,
      type.unavailable_metrics.length > 0 && `This platform does not know: ${type.unavailable_metrics.map(labelOf).join(', ')}.`)),
    el('div', { class: 'actions' }, el('button', { class: 'primary' }, 'Show statistics')));
  range.onchange();
  choose(chosen.pop(), true);
  statsTable.replaceChildren();
  statsOutcome.replaceChildren();
  statsForm.onsubmit = (event) => {
    event.preventDefault();
    pull(id, type, chosen);
  };
}

function dateInput(name) {
  return el('input', { type: 'date', name, required: true, disabled: true });
}

const boxes = (name) => [...statsForm.querySelectorAll(`[name=${name}]`)];
const isTicked = (name, key) => boxes(name).length === 0 || boxes(name).some((box) => box.value === key && box.checked);

/** Whether dimensions are, or can still become, one of the combinations that the catalogue allows. What is filtered counts. */
function goTogether({ max, only }, grouped, filtered = []) {
  const keys = [...grouped, ...filtered];
  return grouped.length <= max && (only === null || only.some((known) => keys.every((key) => known.includes(key))));
}

function question(chosen) {
  const query = new URLSearchParams({ group_by: chosen.join(',') });
  for (const name of ['preset', 'from', 'to', 'timezone', 'sort', 'limit']) {
    const control = statsForm.elements[name];
    if (!control.disabled && control.value !== '') query.set(name, control.value);
  }
  for (const input of statsForm.querySelectorAll('[data-filter]')) {
    if (input.value.trim() !== '') query.set(`filter[${input.dataset.filter}]`, input.value.trim());
  }
  // Always by name: a column that the platform cannot know would be nothing but dashes.
  query.set('metrics', boxes('metrics').filter((box) => box.checked).map((box) => box.value).join(','));
  return query;
}

/** Asks for the first page, and draws it in place of what was there. */
const pull = (id, type, chosen) => attempt(statsOutcome, statsForm, async () => {
  if (!isComplete(statsForm)) return;
  const query = question(chosen);
  const heading = document.activeElement.closest('th')?.dataset.column;
  statsTable.replaceChildren();
  try {
    const page = await waiting(statsOutcome, 'Asking the platform', (signal) => service.call('GET', `/connections/${id}/stats`, { query, signal }));
    drawStats(page, id, type, query);
    if (heading) statsTable.querySelector(`th[data-column="${heading}"] button`).focus();
  } finally {
    // A pull may change how the connection stands; one that is gone leaves the list.
    await refresh(id).catch(loadConnections);
  }
});

function drawStats({ body, headers }, id, type, query) {
  const { columns, rows, totals, row_count: count, next_cursor: next, query: asked, warnings, integrity, fetched_at: at } = body;
  const isMoney = columns.some((column) => column.type === 'money');
  const dimensions = columns.filter(({ kind }) => kind === 'dimension');
  const metrics = columns.filter(({ kind }) => kind === 'metric');
  const values = (row) => [isMoney && el('td', {}, row.currency ?? unknown()), metrics.map(({ key }) => metricCell(key, row[key]))];
  const tbody = el('tbody');
  const table = el('table', {},
    el('caption', {}, asked.from === asked.to ? asked.from : `${asked.from} – ${asked.to}`, `, ${asked.timezone ?? 'in a time zone that is not known'}`),
    el('thead', {}, el('tr', {},
      dimensions.map((column) => heading(column, type)), isMoney && el('th', { scope: 'col' }, 'Currency'), metrics.map((column) => heading(column, type)))),
    tbody,
    el('tfoot', {}, totals.map((total) => el('tr', {}, el('th', { scope: 'row', colspan: dimensions.length }, 'Total'), values(total)))));
  const progress = el('p', { class: 'quiet' });
  const more = el('button', { type: 'button' }, 'Show more rows');
  const append = (rows, cursor) => {
    tbody.append(...rows.map((row) => el('tr', {}, dimensions.map(({ key }) => dimensionCell(row[key])), values(row))));
    align(table, metrics);
    progress.textContent = `${tbody.rows.length} of ${count} rows`;
    more.hidden = cursor === null;
    more.onclick = () => attempt(statsOutcome, statsForm, async () => {
      query.set('cursor', cursor);
      const page = await waiting(statsOutcome, 'Asking for more', (signal) => service.call('GET', `/connections/${id}/stats`, { query, signal }));
      append(page.body.rows, page.body.next_cursor);
    });
  };
  append(rows, next);
  statsTable.replaceChildren(
    ...warnings.map(({ detail }) => el('p', { class: 'warning' }, detail)),
    integrityOf(integrity),
    el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Statistics' }, table),
    el('div', { class: 'bar' }, progress, more),
    el('p', { class: 'quiet' }, `Fetched ${new Date(at).toLocaleTimeString()} in ${counted(body.source.upstream_calls, 'call', 'calls')} and ${body.source.duration_ms} ms`,
      ` · ${headers.get('Cache-Status') ?? ''}`));
}

function heading({ key, label, kind }, type) {
  const { sort } = statsForm.elements;
  const [first, second] = kind === 'metric' ? [`-${key}`, key] : [key, `-${key}`];
  const order = { [key]: 'ascending', [`-${key}`]: 'descending' }[sort.value];
  const native = type.metrics.find((metric) => metric.key === key)?.native;
  return el('th', { scope: 'col', class: kind, 'data-column': key, 'aria-sort': order },
    el('button', { type: 'button', class: 'plain', title: native, click: () => {
      sort.value = sort.value === first ? second : first;
      statsForm.requestSubmit();
    } }, label));
}

const unknown = () => el('abbr', { title: 'not known' }, '–');

function dimensionCell({ id, name }) {
  return el('td', {}, el('bdi', {}, name ?? id), name !== null && name !== id && el('small', {}, id));
}

/** A number exactly as it came: its text is never read as a number. What is not known is a dash, not a zero. */
function metricCell(key, value) {
  if (value === null) return el('td', { 'data-key': key }, unknown());
  const [, sign, whole, rest] = /^(-?)(\d+)(.*)$/.exec(String(value));
  const thousands = whole.match(/\d{1,3}(?=(\d{3})*$)/g).map((digits) => el('span', {}, digits));
  return el('td', { 'data-key': key }, sign, thousands, rest);
}

/** Brings the decimal points of a column under each other: the digits that a value lacks take their room unseen. */
function align(table, metrics) {
  const fraction = (node) => node.textContent.split('.')[1] ?? '';
  for (const { key } of metrics) {
    const numbers = [...table.querySelectorAll(`[data-key="${key}"]`)].filter((node) => !node.querySelector('abbr'));
    const most = Math.max(0, ...numbers.map((node) => fraction(node).length));
    for (const node of numbers) {
      const point = most > 0 && fraction(node) === '' ? '.' : '';
      node.dataset.room = point + '0'.repeat(most - fraction(node).length);
    }
  }
}

function integrityOf({ checked, matches, detail }) {
  if (!checked) return el('p', { class: 'quiet' }, detail ?? 'The platform gives no totals of its own to compare with.');
  if (matches) return el('p', { class: 'done' }, 'The platform’s own totals agree.');
  return el('p', { class: 'warning' }, `The platform’s own totals differ. ${detail ?? ''}`);
}

// --------------------------------------------------------------------------------------------------- the page itself

/** Shows one of the two panels. */
function show(panel) {
  shown = null;
  running.get(statsOutcome)?.abort();
  for (const id of ['add', 'stats']) find(id).hidden = id !== panel;
}

find('add-button').onclick = () => {
  show('add');
  addOutcome.replaceChildren();
  drawAddForm();
  find('add-title').focus();
};

find('service').onsubmit = (event) => {
  event.preventDefault();
  const form = event.target;
  const box = find('service-problem');
  if (!form.reportValidity()) return;
  find('opened').hidden = true;
  service = new Service(form.elements.api.value, form.elements.token.value);
  attempt(box, form, async () => {
    ({ body: catalogue } = await waiting(box, 'Opening', (signal) => service.call('GET', '/platforms', { signal })));
    find('opened').hidden = false;
    find('add-button').click();
    await loadConnections();
  });
};
