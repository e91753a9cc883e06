// The console, used as a person uses it.

import { open } from './browser.js';

/** Opens the console at the address that the start-up log prints, at a view of its own if one is named. */
export async function openConsole(browser, service, options = {}) {
  const opened = await open(browser, `${service.url}/console/#token=${service.token}`, { origins: [service.url], timezoneId: 'Europe/Berlin', locale: 'en-US', ...options });
  await opened.page.locator('#usage:not(:empty)').waitFor();
  return opened;
}

export async function signIn(page, token) {
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Open' }).click();
}

/** A call of the API beside the console: `{ status, body }`. */
export async function api({ url, token }, method, path, body, headers = {}) {
  const response = await fetch(`${url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text) };
}

/** The control that a pointer of the service names. */
export const control = (page, pointer) => page.locator(`section:not([hidden]) [data-pointer="${pointer}"]`);

/** What stands under a control as its error, if it is marked as wrong. */
export async function errorAt(page, pointer) {
  const marked = page.locator(`[data-pointer="${pointer}"][aria-invalid=true]`);
  await marked.waitFor();
  const described = (await marked.getAttribute('aria-describedby')).split(' ');
  const texts = await Promise.all(described.map((id) => page.locator(`#${id}.error`).allInnerTexts()));
  return texts.flat().join(' ');
}

export async function choose(page, platform, type) {
  await page.locator(`#connection-form input[name=platform][value="${platform}"]`).check();
  if (type) await page.locator(`#connection-form input[name=connection_type][value="${type}"]`).check();
}

export async function openAdd(page) {
  await page.locator('#add-button').click();
  await page.locator('#connection-form input[name=platform]').first().waitFor();
}

/** Fills in the body of a create call. */
export async function fill(page, { name, platform, connection_type: type, settings = {}, credentials = {} }) {
  await choose(page, platform, type);
  const values = name === undefined ? {} : { '/name': name };
  for (const [key, value] of Object.entries(settings)) values[`/settings/${key}`] = value;
  for (const [key, value] of Object.entries(credentials)) values[`/credentials/${key}`] = value;
  for (const [pointer, value] of Object.entries(values)) {
    const field = control(page, pointer);
    if ((await field.evaluate((node) => node.tagName)) === 'SELECT') await field.selectOption(value);
    else await field.fill(value);
  }
}

export const save = (page) => page.getByRole('button', { name: 'Verify and save' }).click();

export const item = (page, name) => page.locator('#connections > li').filter({ has: page.getByRole('heading', { name }) });

export const act = (page, action, name) => page.getByRole('button', { name: `${action}: ${name}`, exact: true }).click();

/** Fills in, saves, and waits until the connection stands in the list. */
export async function add(page, body) {
  await openAdd(page);
  await fill(page, body);
  await save(page);
  await page.locator('#form-outcome .done').waitFor();
  await item(page, body.name).waitFor();
}

/** Opens the statistics of a connection; the first answer, which is asked for at once. */
export async function openStats(page, name) {
  return answered(page, () => page.getByRole('link', { name: `Statistics: ${name}`, exact: true }).click());
}

/** Asks for statistics; the answer as the page got it, parsed, and its address. */
export const pull = (page) => answered(page, () => page.getByRole('button', { name: 'Show statistics' }).click());

export async function answered(page, work) {
  const [response] = await Promise.all([page.waitForResponse((response) => response.url().includes('/stats?')), work()]);
  const body = await response.json();
  await page.locator('#stats-outcome .busy').waitFor({ state: 'detached' });
  if (response.ok()) await page.waitForFunction((rows) => document.querySelectorAll('#stats-answer tbody tr').length === rows, body.rows.length);
  else await page.locator('#stats-outcome .problem').waitFor();
  return { url: response.url(), status: response.status(), body };
}

/** The texts of the table, row by row: `{ head, body, foot }`. What is only seen or only heard is left out. */
export function table(page) {
  return page.locator('#stats-answer table').evaluate(({ tHead, tBodies: [tBody], tFoot }) => {
    const text = (cell) => {
      const copy = cell.cloneNode(true);
      for (const change of copy.querySelectorAll('.change')) change.remove();
      return copy.textContent.trim();
    };
    const texts = (part) => [...part.rows].map((row) => [...row.cells].map(text));
    return { head: texts(tHead)[0], body: texts(tBody), foot: texts(tFoot) };
  });
}

/** A decimal text with commas between thousands, and no digit more or less. */
export function spelled(value) {
  if (value === null) return '–';
  const [whole, ...rest] = String(value).split('.');
  return [whole.replace(/\B(?=(\d{3})+$)/g, ','), ...rest].join('.');
}

const DAY = new Intl.DateTimeFormat('en-US', { weekday: 'short', year: 'numeric', month: 'short', day: 'numeric', timeZone: 'UTC' });
export const day = (id) => DAY.format(Date.parse(id));

/** The same table, made from the answer. */
export function expected({ columns, rows, totals }) {
  const of = (wanted) => columns.filter(({ kind }) => kind === wanted);
  const named = (key, { id, name }) => {
    if (id === '') return 'without one';
    if (key === 'date') return day(id);
    if (key === 'hour') return name;
    return name === null || name === id ? id : name + id;
  };
  const hasMoney = columns.some(({ type }) => type === 'money') || totals.length > 1;
  const values = (row) => [...(hasMoney ? [row.currency ?? '–'] : []), ...of('metric').map(({ key }) => spelled(row[key]))];
  return {
    head: [...of('dimension').map(({ label }) => label), ...(hasMoney ? ['Currency'] : []), ...of('metric').map(({ label }) => label)],
    body: rows.map((row) => [...of('dimension').map(({ key }) => named(key, row[key])), ...values(row)]),
    foot: totals.map((total) => ['Total', ...values(total)]),
  };
}

export async function remove(page, name) {
  await act(page, 'Delete', name);
  await page.locator('#delete-dialog').getByRole('button', { name: 'Delete' }).click();
  await item(page, name).waitFor({ state: 'detached' });
}
