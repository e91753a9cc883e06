// The page of examples/form over Demo: what it draws, what it sends, and what it shows when something fails.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, open } from './support/browser.js';
import { serveFiles } from './support/files.js';
import {
  FILES, add, choose, control, errorAt, fill, item, openForm, openStats, pull, remove, signIn,
} from './support/form.js';
import { startService } from './support/processes.js';

/** Long enough for what works, short enough to wait for what does not. */
const DEADLINE_MS = 4_000;

let browser;
let files;
let service;
let catalogue;

before(async () => {
  browser = await launch();
  files = await serveFiles(FILES);
  service = await startService({ CORS_ALLOWED_ORIGINS: files.url, STATS_DEADLINE_MS: String(DEADLINE_MS) });
  const answer = await fetch(`${service.url}/api/v1/platforms`, { headers: { authorization: `Bearer ${service.token}` } });
  catalogue = await answer.json();
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await files?.stop();
});

const demo = (name, scenario = 'healthy', type = 'admin') => ({ name, platform: 'demo', connection_type: type, settings: { scenario } });

test('every platform, type and field of the catalogue is drawn as its schema says', async () => {
  const { page, isQuiet, close } = await openForm(browser, files, service);
  const platforms = await page.locator('#add-form input[name=platform]').evaluateAll((nodes) => nodes.map((node) => node.value));
  assert.deepEqual(platforms, catalogue.data.map(({ platform }) => platform));
  for (const entry of catalogue.data) {
    await choose(page, entry.platform);
    for (const type of entry.connection_types) {
      await choose(page, entry.platform, type.connection_type);
      const card = await page.locator('#add-types .choice').filter({ has: page.locator(`[value="${type.connection_type}"]`) }).innerText();
      for (const text of [type.title, type.sees, type.use_when]) assert.ok(card.includes(text), card);
      assert.equal(card.includes('Recommended'), type.recommended);
      await drawsSchema(page, '/settings', type.settings_schema);
      await drawsSchema(page, '/credentials', type.credentials_schema);
    }
  }
  isQuiet();
  await close();
});

async function drawsSchema(page, at, { properties, required }) {
  const drawn = await page.locator(`#add-fields [data-pointer^="${at}/"]`).evaluateAll((nodes) => nodes.map((node) => {
    const { type, required, placeholder = '', value, options = [] } = node;
    const hint = document.getElementById(`${node.id}-hint`).textContent;
    return { pointer: node.dataset.pointer, label: node.labels[0].firstChild.data, hint, type, required, placeholder, value, options: [...options].map(({ value }) => value) };
  }));
  const wanted = Object.entries(properties).map(([key, property]) => ({
    pointer: `${at}/${key}`,
    label: property.title,
    hint: property.description,
    type: property.enum ? 'select-one' : property.writeOnly ? 'password' : 'text',
    required: required.includes(key),
    placeholder: property.enum ? '' : property.examples[0],
    value: property.default ?? '',
    options: property.enum ?? [],
  }));
  const byPointer = (one, other) => one.pointer.localeCompare(other.pointer);
  assert.deepEqual(drawn.sort(byPointer), wanted.sort(byPointer));
}

test('a platform nobody has heard of is drawn from its catalogue entry alone, and one to come cannot be chosen', async () => {
  const { page, isQuiet, close } = await open(browser, files.url, { origins: [files.url, service.url] });
  const text = (title, more) => ({ type: 'string', title, description: `${title}?`, examples: ['x'], minLength: 1, maxLength: 5, ...more });
  const [known] = catalogue.data;
  const made = {
    platform: 'zaphod', title: 'Zaphod', status: 'available', summary: 'Two heads.',
    connection_types: [{
      ...known.connection_types[0], connection_type: 'improbable', title: 'Improbable', recommended: true,
      settings_schema: { properties: { arms: text('Arms', { enum: ['two', 'three'], default: 'three' }), ship: text('Ship') }, required: ['ship'] },
      credentials_schema: { properties: { towel: text('Towel', { writeOnly: true }), mood: text('Mood', { enum: ['low', 'high'] }) }, required: ['towel'] },
    }],
  };
  const coming = { ...known, platform: 'marvin', title: 'Marvin', status: 'coming_soon' };
  await page.route('**/api/v1/platforms', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...catalogue, data: [...catalogue.data, made, coming] } });
  });
  await signIn(page, service);
  assert.ok(await page.locator('input[value=marvin]').isDisabled());
  assert.match(await page.locator('.choice', { hasText: 'Marvin' }).innerText(), /Coming soon/);

  await choose(page, 'zaphod');
  await page.getByRole('button', { name: 'Verify only' }).click();
  assert.deepEqual(
    await page.locator('[aria-invalid=true]').evaluateAll((nodes) => nodes.map((node) => node.dataset.pointer)),
    ['/settings/ship', '/credentials/towel'],
  );
  await control(page, '/settings/ship').fill('Heart of Gold');
  assert.equal(await control(page, '/settings/ship').inputValue(), 'Heart');
  await control(page, '/credentials/towel').fill(' dry ');
  const [request] = await Promise.all([
    page.waitForRequest((request) => request.url().endsWith('/connections/verify') && request.method() === 'POST'),
    page.getByRole('button', { name: 'Verify only' }).click(),
  ]);
  assert.deepEqual(request.postDataJSON(), {
    platform: 'zaphod', connection_type: 'improbable', settings: { ship: 'Heart', arms: 'three' }, credentials: { towel: ' dry ' },
  });
  await page.locator('fieldset.invalid[data-pointer="/platform"]').waitFor();
  isQuiet(['422 /api/v1/connections/verify']);
  await close();
});

test('fields that the service refuses are marked with its words, and all at once', async () => {
  const { page, isQuiet, close } = await openForm(browser, files, service);
  await add(page, demo('Taken'));
  await fill(page, demo('TAKEN'));
  await page.getByRole('button', { name: 'Verify and save' }).click();
  assert.equal(await errorAt(page, '/name'), 'This name is taken.');

  await fill(page, { platform: 'affise', connection_type: 'admin', name: 'Elsewhere', settings: { base_url: 'not a host' }, credentials: { api_key: 'key' } });
  await page.getByRole('button', { name: 'Verify and save' }).click();
  assert.notEqual(await errorAt(page, '/settings/base_url'), '');
  await control(page, '/settings/base_url').fill('http://192.168.0.1');
  await page.getByRole('button', { name: 'Verify and save' }).click();
  await page.locator('.verification.failed').waitFor();
  assert.notEqual(await errorAt(page, '/settings/base_url'), '');
  assert.match(await page.locator('#add-outcome').innerText(), /Nothing was saved/);
  isQuiet(['409 /api/v1/connections', '422 /api/v1/connections', '422 /api/v1/connections']);
  await close();
});

test('saving again after a lost answer saves nothing twice', async () => {
  const { page, complaints, close } = await openForm(browser, files, service);
  await page.route('**/api/v1/connections', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    await route.fetch();
    return route.abort();
  });
  await fill(page, demo('Once'));
  await page.getByRole('button', { name: 'Verify and save' }).click();
  await page.locator('#add-outcome .problem').waitFor();
  assert.match(await page.locator('#add-outcome').innerText(), /No answer/);
  assert.deepEqual(complaints, ['error: Failed to load resource: net::ERR_FAILED']);

  await page.unroute('**/api/v1/connections');
  const [response] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === 'POST'),
    page.getByRole('button', { name: 'Verify and save' }).click(),
  ]);
  assert.equal(response.status(), 201);
  assert.equal(response.headers()['idempotency-replayed'], 'true');
  await item(page, 'Once').waitFor();
  assert.equal(await item(page, 'Once').count(), 1);
  await close();
});

test('a pull that fails says what happened, whose turn it is and when it may work again', async (context) => {
  const outcomes = {
    rejected_key: { status: 424, badge: 'Failing', says: /does not accept the key/ },
    rate_limited: { status: 503, badge: 'Active', says: /may work again in \d+ s/ },
    slow: { status: 504, badge: 'Active', says: /did not answer in time/ },
    down: { status: 502, badge: 'Active', says: /does not accept connections/ },
  };
  const { properties } = catalogue.data.find(({ platform }) => platform === 'demo').connection_types[0].settings_schema;
  assert.deepEqual(Object.keys(outcomes).sort(), properties.scenario.enum.filter((key) => key !== 'healthy').sort());
  for (const [scenario, { status, badge, says }] of Object.entries(outcomes)) {
    await context.test(scenario, async () => {
      const { page, isQuiet, close } = await openForm(browser, files, service);
      await add(page, demo(`Demo ${scenario}`, scenario));
      await openStats(page, `Demo ${scenario}`);
      const answer = await pull(page);
      assert.equal(answer.status, status);
      assert.match(await page.locator('#stats-outcome').innerText(), says);
      assert.match(await page.locator('#stats-outcome').innerText(), /Choose the scenario healthy/);
      await item(page, `Demo ${scenario}`).locator(`.badge:text-is("${badge}")`).waitFor();
      await remove(page, `Demo ${scenario}`);
      isQuiet([`${status} /api/v1/connections/{id}/stats`]);
      await close();
    });
  }
});

test('a pull that takes long can be cancelled, and the next one is not disturbed by it', async () => {
  const { page, isQuiet, close } = await openForm(browser, files, service);
  await add(page, demo('Patience', 'slow'));
  await openStats(page, 'Patience');
  await page.getByRole('button', { name: 'Show statistics' }).click();
  await page.locator('#stats-outcome .busy').getByText(/[12] s/).waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(await page.locator('#stats-outcome').innerText(), '');
  await add(page, demo('Quick'));
  await openStats(page, 'Quick');
  assert.equal((await pull(page)).status, 200);
  await page.waitForTimeout(DEADLINE_MS);
  assert.equal(await page.locator('#stats-outcome').innerText(), '');
  assert.ok(await page.locator('#stats-table table').isVisible());
  isQuiet();
  await close();
});

test('a connection that is gone is answered in words, and leaves the list', async () => {
  const { page, isQuiet, close } = await openForm(browser, files, service);
  await add(page, demo('Fleeting'));
  await openStats(page, 'Fleeting');
  const id = await item(page, 'Fleeting').getAttribute('data-id');
  await fetch(`${service.url}/api/v1/connections/${id}`, { method: 'DELETE', headers: { authorization: `Bearer ${service.token}` } });
  assert.equal((await pull(page)).status, 410);
  assert.match(await page.locator('#stats-outcome').innerText(), /connection_deleted/);
  await item(page, 'Fleeting').waitFor({ state: 'detached' });
  isQuiet(['410 /api/v1/connections/{id}/stats', '410 /api/v1/connections/{id}']);
  await close();
});
