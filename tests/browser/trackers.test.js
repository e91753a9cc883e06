// The console against a simulator of every platform and connection type.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './support/browser.js';
import { act, add, api, control, errorAt, expected, fill, item, openAdd, openConsole, openStats, pull, remove, save, table } from './support/console.js';
import { startService, startTrackers } from './support/processes.js';

let browser;
let trackers;
let service;

before(async () => {
  browser = await launch();
  trackers = await startTrackers();
  service = await startService(trackers.environment);
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await trackers?.stop();
});

test('every platform and connection type that is available has a simulator here, but Demo', async () => {
  const { body: { data } } = await api(service, 'GET', '/platforms');
  const available = data.filter(({ platform, status }) => platform !== 'demo' && status === 'available');
  const pairs = available.flatMap(({ platform, connection_types: types }) => types.map((type) => `${platform} ${type.connection_type}`));
  const simulated = trackers.connections.map(({ body }) => `${body.platform} ${body.connection_type}`);
  assert.deepEqual([...new Set(simulated)].sort(), pairs.sort());
});

/** Values are offered by their names, and one that is chosen filters. */
async function filtersByName(page) {
  await page.getByRole('checkbox', { name: 'Date', exact: true }).uncheck();
  await page.getByText('Filters and search').click();
  const dimensions = await page.getByLabel('Filter to add').locator('option:enabled').evaluateAll((nodes) => nodes.map(({ value }) => value));
  const dimension = dimensions.find((key) => !['date', 'week', 'month', 'hour'].includes(key));
  await page.getByLabel('Filter to add').selectOption(dimension);
  await page.getByRole('button', { name: 'Add filter' }).click();
  const first = page.locator('.values input[type=checkbox]').first();
  const id = await first.getAttribute('value');
  await first.check();
  const { status, body } = await pull(page);
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual(body.query.filters, { [dimension]: [id] });
  assert.ok(body.rows.length > 0);
}

test('each is refused with a wrong key, saved, edited, verified, read and deleted', async (context) => {
  for (const { body, wrong_credentials: wrong } of trackers.connections) {
    await context.test(body.name, () => goThrough(body, wrong));
  }
});

async function goThrough(body, wrong) {
  const { page, isQuiet, close } = await openConsole(browser, service);

  await openAdd(page);
  await fill(page, { ...body, credentials: wrong });
  await save(page);
  await page.locator('.verification.failed').waitFor();
  assert.equal(await page.locator('.stages > .failed').count(), 1);
  const changed = Object.keys(wrong).filter((key) => wrong[key] !== body.credentials[key]);
  const marked = await page.locator('#connection-form [aria-invalid=true]').evaluateAll((nodes) => nodes.map((node) => node.dataset.pointer));
  assert.deepEqual(marked, [`/credentials/${changed.at(-1)}`]);
  assert.notEqual(await errorAt(page, marked[0]), '');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.pointer), marked[0]);

  await fill(page, body);
  await save(page);
  await page.locator('#form-outcome .done').waitFor();
  assert.equal(await item(page, body.name).locator('.badge').innerText(), 'Active');
  assert.equal(await page.locator('#form-outcome .stages > .failed').count(), 0);
  assert.ok((await page.locator('#form-outcome .stages > .ok').count()) >= 4);

  // A new key beside what is stored is verified as the first one was.
  await act(page, 'Edit', body.name);
  await control(page, '/name').waitFor();
  await control(page, `/credentials/${changed.at(-1)}`).fill(wrong[changed.at(-1)]);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('#form-outcome .verification.failed').waitFor();
  await page.getByRole('button', { name: 'Close' }).click();

  await act(page, 'Verify', body.name);
  await item(page, body.name).locator('.verification.ok').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Verify');

  const { status, body: answer } = await openStats(page, body.name);
  assert.equal(status, 200, JSON.stringify(answer));
  assert.ok(answer.rows.length > 0 && answer.totals.length > 0);
  assert.deepEqual(await table(page), expected(answer));
  const said = await page.locator('#stats-answer').innerText();
  for (const { detail } of answer.warnings) assert.ok(said.includes(detail), detail);
  assert.equal(await page.locator('.picture svg[role=img]').count(), 1);

  await filtersByName(page);

  await page.getByRole('link', { name: 'Connections' }).click();
  await remove(page, body.name);
  isQuiet(['422 /api/v1/connections', '422 /api/v1/connections/{id}']);
  await close();
}
