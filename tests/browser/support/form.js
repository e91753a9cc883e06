// The page of examples/form, used as a person uses it.

import { open } from './browser.js';

export const FILES = new URL('../../../examples/form/', import.meta.url);

/** Opens the page from the file server and the service in it. */
export async function openForm(browser, files, service, options = {}) {
  const opened = await open(browser, files.url, { origins: [files.url, service.url], timezoneId: 'Europe/Berlin', ...options });
  await signIn(opened.page, service);
  await opened.page.locator('#add-form input[name=platform]').first().waitFor();
  await opened.page.locator('#usage:not(:empty)').waitFor();
  return opened;
}

export async function signIn(page, { url, token }) {
  await page.getByLabel('Service').fill(url);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Open' }).click();
}

/** The control that a pointer of the service names. */
export const control = (page, pointer) => page.locator(`.panel:not([hidden]) [data-pointer="${pointer}"]`);

/** What stands under a control as its error, if it is marked as wrong. */
export async function errorAt(page, pointer) {
  const marked = page.locator(`[data-pointer="${pointer}"][aria-invalid=true]`);
  await marked.waitFor();
  const described = (await marked.getAttribute('aria-describedby')).split(' ');
  const texts = await Promise.all(described.map((id) => page.locator(`#${id}.error`).allInnerTexts()));
  return texts.flat().join(' ');
}

export async function choose(page, platform, type) {
  await page.locator(`#add-form input[name=platform][value="${platform}"]`).check();
  if (type) await page.locator(`#add-form input[name=connection_type][value="${type}"]`).check();
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

export const item = (page, name) => page.locator('#connections > li').filter({ hasText: name });

/** Fills in, saves, and waits until the connection stands in the list. */
export async function add(page, body) {
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await fill(page, body);
  await page.getByRole('button', { name: 'Verify and save' }).click();
  await page.locator('#add-outcome .done').waitFor();
  await item(page, body.name).waitFor();
}

export async function openStats(page, name) {
  await page.getByRole('button', { name: `Statistics: ${name}` }).click();
  await page.locator('#stats-form').waitFor();
}

/** Asks for statistics; the answer as the page got it, parsed, and its address. */
export async function pull(page) {
  const [response] = await Promise.all([
    page.waitForResponse((response) => response.url().includes('/stats?')),
    page.getByRole('button', { name: 'Show statistics' }).click(),
  ]);
  await page.locator('#stats-table table, #stats-outcome .problem').first().waitFor();
  return { url: response.url(), status: response.status(), body: await response.json() };
}

/** The texts of the table, row by row: `{ head, body, foot }`. */
export function table(page) {
  return page.locator('#stats-table table').evaluate(({ tHead, tBodies: [tBody], tFoot }) => {
    const texts = (part) => [...part.rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim()));
    return { head: texts(tHead)[0], body: texts(tBody), foot: texts(tFoot) };
  });
}

/** The same table, made from the answer. */
export function expected({ columns, rows, totals }) {
  const of = (wanted) => columns.filter(({ kind }) => kind === wanted);
  const text = (value) => (value === null ? '–' : String(value));
  const named = ({ id, name }) => (name === null || name === id ? id : name + id);
  const hasMoney = columns.some(({ type }) => type === 'money');
  const values = (row) => [...(hasMoney ? [text(row.currency)] : []), ...of('metric').map(({ key }) => text(row[key]))];
  return {
    head: [...of('dimension').map(({ label }) => label), ...(hasMoney ? ['Currency'] : []), ...of('metric').map(({ label }) => label)],
    body: rows.map((row) => [...of('dimension').map(({ key }) => named(row[key])), ...values(row)]),
    foot: totals.map((total) => ['Total', ...values(total)]),
  };
}

export async function remove(page, name) {
  await page.getByRole('button', { name: `Delete: ${name}` }).click();
  await page.locator('#delete-dialog').getByRole('button', { name: 'Delete' }).click();
  await item(page, name).waitFor({ state: 'detached' });
}
