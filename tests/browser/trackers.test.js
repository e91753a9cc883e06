// The page of examples/form against a simulator of every platform and connection type.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './support/browser.js';
import { serveFiles } from './support/files.js';
import { FILES, add, errorAt, expected, fill, item, openForm, openStats, pull, remove, table } from './support/form.js';
import { startService, startTrackers } from './support/processes.js';

let browser;
let files;
let trackers;
let service;

before(async () => {
  browser = await launch();
  files = await serveFiles(FILES);
  trackers = await startTrackers();
  service = await startService({ ...trackers.environment, CORS_ALLOWED_ORIGINS: files.url });
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await trackers?.stop();
  await files?.stop();
});

test('every platform and connection type that is available has a simulator here, but Demo', async () => {
  const answer = await fetch(`${service.url}/api/v1/platforms`, { headers: { authorization: `Bearer ${service.token}` } });
  const { data } = await answer.json();
  const available = data.filter(({ platform, status }) => platform !== 'demo' && status === 'available');
  const pairs = available.flatMap(({ platform, connection_types: types }) => types.map((type) => `${platform} ${type.connection_type}`));
  const simulated = trackers.connections.map(({ body }) => `${body.platform} ${body.connection_type}`);
  assert.deepEqual([...new Set(simulated)].sort(), pairs.sort());
});

test('each is verified, refused with a wrong key, saved, read and deleted', async (context) => {
  for (const { body, wrong_credentials: wrong } of trackers.connections) {
    await context.test(body.name, () => goThrough(body, wrong));
  }
});

test('a key of the other portal is told at the connection type', async () => {
  const affiliates = trackers.connections.find(({ body }) => body.platform === 'affise' && body.connection_type === 'affiliate').body;
  const { page, isQuiet, close } = await openForm(browser, files, service);
  await fill(page, { ...affiliates, connection_type: 'admin' });
  await page.getByRole('button', { name: 'Verify only' }).click();
  const marked = page.locator('fieldset.invalid');
  await marked.waitFor();
  assert.equal(await marked.getAttribute('data-pointer'), '/connection_type');
  assert.equal(await marked.locator('.error').innerText(), await page.locator('.failure p').first().innerText());
  isQuiet();
  await close();
});

async function goThrough(body, wrong) {
  const { page, isQuiet, close } = await openForm(browser, files, service);

  await fill(page, { ...body, credentials: wrong });
  await page.getByRole('button', { name: 'Verify only' }).click();
  await page.locator('.verification.failed').waitFor();
  assert.equal(await page.locator('.stages > .failed').count(), 1);
  const changed = Object.keys(wrong).filter((key) => wrong[key] !== body.credentials[key]);
  const marked = await page.locator('#add-form [aria-invalid=true]').evaluateAll((nodes) => nodes.map((node) => node.dataset.pointer));
  assert.deepEqual(marked, [`/credentials/${changed.at(-1)}`]);
  assert.notEqual(await errorAt(page, marked[0]), '');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.pointer), marked[0]);

  await fill(page, body);
  await page.getByRole('button', { name: 'Verify only' }).click();
  await page.locator('.verification.ok').waitFor();
  assert.equal(await page.locator('.stages > .failed').count(), 0);
  assert.ok((await page.locator('.stages > .ok').count()) >= 4);

  await add(page, body);
  assert.equal(await item(page, body.name).locator('.badge').innerText(), 'Active');
  assert.ok((await page.locator('#add-outcome .stages > .ok').count()) >= 4);

  await page.getByRole('button', { name: `Verify: ${body.name}` }).click();
  await item(page, body.name).locator('.verification.ok').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Verify');

  await openStats(page, body.name);
  const { status, body: answer } = await pull(page);
  assert.equal(status, 200, JSON.stringify(answer));
  assert.ok(answer.rows.length > 0 && answer.totals.length > 0);
  assert.deepEqual(await table(page), expected(answer));

  await remove(page, body.name);
  isQuiet();
  await close();
}
