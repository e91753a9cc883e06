// The connections of the console over Demo: what it draws, what it sends, and what it shows when something fails.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch } from './support/browser.js';
import {
  act, add, api, choose, control, errorAt, fill, item, openAdd, openConsole, openStats, pull, remove, save,
} from './support/console.js';
import { startService, startTrackers } from './support/processes.js';

/** Long enough for what works, short enough to wait for what does not. */
const DEADLINE_MS = 4_000;

let browser;
let service;
let trackers;
let catalogue;

before(async () => {
  browser = await launch();
  trackers = await startTrackers();
  service = await startService({ ...trackers.environment, STATS_DEADLINE_MS: String(DEADLINE_MS), EGRESS_ADDRESSES: '192.0.2.10,192.0.2.11' });
  ({ body: catalogue } = await api(service, 'GET', '/platforms'));
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await trackers?.stop();
});

const demo = (name, scenario = 'healthy', type = 'admin') => ({ name, platform: 'demo', connection_type: type, settings: { scenario } });

test('every platform, type and field of the catalogue is drawn as its schema says', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  await openAdd(page);
  const platforms = await page.locator('#connection-form input[name=platform]').evaluateAll((nodes) => nodes.map((node) => node.value));
  assert.deepEqual(platforms, catalogue.data.map(({ platform }) => platform));
  for (const entry of catalogue.data) {
    await choose(page, entry.platform);
    for (const type of entry.connection_types) {
      await choose(page, entry.platform, type.connection_type);
      const card = await page.locator('#form-types .choice').filter({ has: page.locator(`[value="${type.connection_type}"]`) }).innerText();
      for (const text of [type.title, type.sees, type.use_when]) assert.ok(card.includes(text), card);
      assert.equal(card.includes('Recommended'), type.recommended);
      await drawsSchema(page, '/settings', type.settings_schema);
      await drawsSchema(page, '/credentials', type.credentials_schema);
      assert.ok((await page.locator('#form-fields').innerText()).includes('192.0.2.10, 192.0.2.11'));
    }
  }
  isQuiet();
  await close();
});

async function drawsSchema(page, at, { properties, required }) {
  const drawn = await page.locator(`#form-fields [data-pointer^="${at}/"]`).evaluateAll((nodes) => nodes.map((node) => {
    const { type, required, placeholder = '', value, options = [] } = node;
    const hint = document.getElementById(`${node.id}-hint`).firstChild.data;
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
  const text = (title, more) => ({ type: 'string', title, description: `${title}?`, examples: ['x'], minLength: 1, maxLength: 5, ...more });
  const [known] = catalogue.data;
  const made = {
    platform: 'zaphod', title: 'Zaphod', status: 'available', summary: 'Two heads.',
    connection_types: [{
      ...known.connection_types[0], connection_type: 'improbable', title: 'Improbable', recommended: true,
      settings_schema: { properties: { arms: text('Arms', { enum: ['two', 'three'], default: 'three' }), ship: text('Ship') }, required: ['ship'] },
      credentials_schema: { properties: { towel: text('Towel', { writeOnly: true }), mood: text('Mood', { enum: ['low', 'high'] }) }, required: ['towel'] },
      fields: [{ pointer: '/settings/ship', help: 'What flies?', help_url: null, message: 'Name the ship.' }],
    }],
  };
  const coming = { ...known, platform: 'marvin', title: 'Marvin', status: 'coming_soon' };
  const { page, isQuiet, close } = await openConsole(browser, service, {
    prepare: (page) => page.route('**/api/v1/platforms', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...catalogue, data: [...catalogue.data, made, coming] } });
    }),
  });
  await openAdd(page);
  assert.ok(await page.locator('input[value=marvin]').isDisabled());
  assert.match(await page.locator('.choice', { hasText: 'Marvin' }).innerText(), /Coming soon/);

  await choose(page, 'zaphod');
  await control(page, '/name').fill('Of two heads');
  await save(page);
  assert.deepEqual(
    await page.locator('[aria-invalid=true]').evaluateAll((nodes) => nodes.map((node) => node.dataset.pointer)),
    ['/settings/ship', '/credentials/towel'],
  );
  assert.equal(await errorAt(page, '/settings/ship'), 'Name the ship.');
  await control(page, '/settings/ship').fill('Heart of Gold');
  assert.equal(await control(page, '/settings/ship').inputValue(), 'Heart');
  await control(page, '/credentials/towel').fill(' dry ');
  const [request] = await Promise.all([
    page.waitForRequest((request) => request.url().endsWith('/connections') && request.method() === 'POST'),
    save(page),
  ]);
  assert.deepEqual(request.postDataJSON(), {
    name: 'Of two heads', platform: 'zaphod', connection_type: 'improbable', settings: { ship: 'Heart', arms: 'three' }, credentials: { towel: ' dry ' },
  });
  await page.locator('fieldset.invalid[data-pointer="/platform"]').waitFor();
  isQuiet(['422 /api/v1/connections']);
  await close();
});

test('fields that the service refuses are marked with its words, and all at once', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  await add(page, demo('Taken'));
  await openAdd(page);
  await fill(page, demo('TAKEN'));
  await save(page);
  assert.equal(await errorAt(page, '/name'), 'This name is taken.');

  await fill(page, { platform: 'affise', connection_type: 'admin', name: 'Elsewhere', settings: { base_url: 'not a host' }, credentials: { api_key: 'key' } });
  await save(page);
  assert.notEqual(await errorAt(page, '/settings/base_url'), '');
  await fill(page, { platform: 'affise', settings: { base_url: 'http://192.168.0.1' }, credentials: { api_key: 'key' } });
  await control(page, '/name').fill('Elsewhere');
  await save(page);
  await page.locator('.verification.failed').waitFor();
  assert.notEqual(await errorAt(page, '/settings/base_url'), '');
  assert.match(await page.locator('#form-outcome').innerText(), /Nothing was saved/);
  isQuiet(['409 /api/v1/connections', '422 /api/v1/connections', '422 /api/v1/connections']);
  await remove(page, 'Taken');
  await close();
});

test('saving again after a lost answer saves nothing twice', async () => {
  const { page, complaints, close } = await openConsole(browser, service);
  await page.route('**/api/v1/connections', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    await route.fetch();
    return route.abort();
  });
  await openAdd(page);
  await fill(page, demo('Once'));
  await save(page);
  await page.locator('#form-outcome .problem').waitFor();
  assert.match(await page.locator('#form-outcome').innerText(), /No answer/);
  assert.deepEqual(complaints, ['error: Failed to load resource: net::ERR_FAILED']);

  await page.unroute('**/api/v1/connections');
  const [response] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === 'POST'),
    save(page),
  ]);
  assert.equal(response.status(), 201);
  assert.equal(response.headers()['idempotency-replayed'], 'true');
  await item(page, 'Once').waitFor();
  assert.equal(await item(page, 'Once').count(), 1);
  await remove(page, 'Once');
  await close();
});

test('where there is no connection yet, one click adds the platform that needs no account and shows its numbers', async () => {
  const fresh = await startService();
  try {
    const { page, isQuiet, close } = await openConsole(browser, fresh);
    assert.match(await page.locator('.empty').innerText(), /No connections yet/);
    await page.getByRole('link', { name: 'Statistics', exact: true }).click();
    await page.getByRole('link', { name: 'Add one' }).click();
    const { platform, title } = catalogue.data.find(({ connection_types: [type] }) => Object.keys(type.credentials_schema.properties).length === 0);
    await page.getByRole('button', { name: `Add a ${title} connection` }).click();
    await page.locator('#stats-answer tbody tr').first().waitFor();
    const { body } = await api(fresh, 'GET', '/connections');
    assert.deepEqual(body.data.map((connection) => [connection.platform, connection.status]), [[platform, 'active']]);
    assert.match(await page.locator('#stats-answer .totals').innerText(), /Revenue/);
    isQuiet();
    await close();
  } finally {
    await fresh.stop();
  }
});

test('an edit is filled in, sends what is different, and leaves secrets alone unless they are typed', async () => {
  const { body } = trackers.connections.find(({ body }) => body.platform === 'affise' && body.connection_type === 'admin');
  const { page, isQuiet, close } = await openConsole(browser, service);
  await add(page, body);
  const patch = async () => {
    const [response] = await Promise.all([
      page.waitForResponse((response) => response.request().method() === 'PATCH'),
      page.getByRole('button', { name: 'Save', exact: true }).click(),
    ]);
    return { sent: response.request().postDataJSON(), status: response.status(), matched: response.request().headers()['if-match'] };
  };
  const edit = async (name) => {
    await act(page, 'Edit', name);
    await control(page, '/name').waitFor();
  };

  await edit(body.name);
  assert.equal(await control(page, '/name').inputValue(), body.name);
  assert.equal(await control(page, '/settings/base_url').inputValue(), body.settings.base_url);
  assert.equal(await control(page, '/credentials/api_key').inputValue(), '');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByText('Nothing has changed.').waitFor();
  await control(page, '/name').fill('Renamed');
  await control(page, '/settings/currency').fill('EUR');
  const first = await patch();
  assert.deepEqual(first.sent, { name: 'Renamed', settings: { currency: 'EUR' } });
  assert.match(first.matched, /^"1\./);
  await page.locator('#form-outcome .verification.ok').waitFor();

  await edit('Renamed');
  await control(page, '/settings/currency').fill('');
  await control(page, '/credentials_expire_at').fill('2030-01-31');
  await control(page, '/credentials/api_key').fill(body.credentials.api_key);
  const second = await patch();
  assert.deepEqual(second.sent, { settings: { currency: null }, credentials: body.credentials, credentials_expire_at: '2030-01-31' });
  await item(page, 'Renamed').getByText('Jan 31, 2030').waitFor();

  // Another host has to be given the key again: the service says so, at the field.
  await edit('Renamed');
  await control(page, '/settings/base_url').fill('http://127.0.0.1:1');
  assert.equal((await patch()).status, 422);
  assert.notEqual(await errorAt(page, '/credentials/api_key'), '');

  // Somebody else was quicker.
  await page.getByRole('button', { name: 'Close' }).click();
  await edit('Renamed');
  const { body: found } = await api(service, 'GET', '/connections?q=Renamed');
  await api(service, 'PATCH', `/connections/${found.data[0].id}`, { name: 'Renamed elsewhere' });
  await control(page, '/name').fill('Renamed here');
  assert.equal((await patch()).status, 412);
  assert.match(await page.locator('#form-outcome').innerText(), /version_conflict/);
  isQuiet(['422 /api/v1/connections/{id}', '412 /api/v1/connections/{id}']);
  await api(service, 'DELETE', `/connections/${found.data[0].id}`);
  await close();
});

test('a key of the other portal marks the wrong choice, and a button takes the right one', async () => {
  const { body } = trackers.connections.find(({ body }) => body.platform === 'affise' && body.connection_type === 'affiliate');
  const { page, isQuiet, close } = await openConsole(browser, service);
  await openAdd(page);
  await fill(page, { ...body, connection_type: 'admin' });
  await save(page);
  const marked = page.locator('fieldset.invalid');
  await marked.waitFor();
  assert.equal(await marked.getAttribute('data-pointer'), '/connection_type');
  assert.equal(await page.locator('.choice.wrong input').getAttribute('value'), 'admin');
  assert.match(await page.locator('.choice.wrong').innerText(), /Not the type of this key/);
  const right = catalogue.data.find(({ platform }) => platform === 'affise').connection_types.find((type) => type.connection_type === 'affiliate');
  await page.getByRole('button', { name: `Use ${right.title} instead` }).click();
  assert.ok(await page.locator('[name=connection_type][value=affiliate]').isChecked());
  assert.equal(await page.locator('.choice.wrong').count(), 0);
  assert.equal(await control(page, '/name').inputValue(), body.name);
  assert.equal(await control(page, '/settings/base_url').inputValue(), body.settings.base_url);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.pointer), '/credentials/api_key');
  await control(page, '/credentials/api_key').fill(body.credentials.api_key);
  await save(page);
  await page.locator('#form-outcome .done').waitFor();
  await remove(page, body.name);
  isQuiet(['422 /api/v1/connections']);
  await close();
});

test('a connection shows why it fails, since when, when it is checked next and when its key runs out', async () => {
  const { body } = trackers.connections.find(({ body }) => body.platform === 'affise' && body.connection_type === 'admin');
  const { page, isQuiet, close } = await openConsole(browser, service);
  const soon = new Date(Date.now() + 5 * 86_400_000).toISOString().slice(0, 10);
  const { body: saved } = await api(service, 'POST', '/connections', { ...body, credentials_expire_at: soon });
  const { body: failing } = await api(service, 'POST', '/connections', demo('Refused', 'rejected_key'));
  await api(service, 'GET', `/connections/${failing.id}/stats?preset=today`);
  await page.reload();
  const good = item(page, saved.name);
  await good.waitFor();
  const facts = await good.locator('.health').innerText();
  for (const fact of [/Active since/, /Last worked/, /Next check/, /\(in 5 days\)/]) assert.match(facts, fact);
  const bad = item(page, 'Refused');
  assert.equal(await bad.locator('.badge').innerText(), 'Failing');
  const { body: now } = await api(service, 'GET', `/connections/${failing.id}`);
  const said = await bad.locator('.health').innerText();
  for (const text of [now.health.reason.detail, now.health.reason.hint, 'Found by a pull of statistics.']) assert.ok(said.includes(text), said);

  // The list is searched and put in order by the service.
  await page.getByLabel('Name contains').fill('refus');
  await good.waitFor({ state: 'detached' });
  assert.ok(await bad.isVisible());
  await page.getByLabel('Name contains').fill('nothing is called so');
  await page.getByText('No connection matches.').waitFor();
  await page.getByRole('button', { name: 'Show all' }).click();
  await good.waitFor();
  await page.getByLabel('Status').selectOption('failing');
  await good.waitFor({ state: 'detached' });
  await remove(page, 'Refused');
  await api(service, 'DELETE', `/connections/${saved.id}`);
  isQuiet();
  await close();
});

test('before a connection is deleted, the automations that would stop working are listed', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  await add(page, demo('In use'));
  await add(page, demo('Idle'));
  const { body: { data: [{ id }] } } = await api(service, 'GET', '/connections?q=In+use');
  await api(service, 'GET', `/connections/${id}/stats?preset=today`, undefined, { 'x-automation-id': 'nightly <report>' });
  // Uses are written in batches.
  await until(async () => (await api(service, 'GET', `/connections/${id}/automations`)).body.data.length === 1);
  await act(page, 'Delete', 'In use');
  assert.match(await page.locator('#delete-users li').innerText(), /^nightly <report> last /);
  await page.getByRole('button', { name: 'Keep' }).click();
  assert.ok(await item(page, 'In use').isVisible());
  await act(page, 'Delete', 'Idle');
  await page.getByText('No automation has pulled statistics through it.').waitFor();
  await page.getByRole('button', { name: 'Keep' }).click();
  await remove(page, 'In use');
  await remove(page, 'Idle');
  isQuiet();
  await close();
});

async function until(isSo) {
  while (!(await isSo())) await new Promise((resolve) => { setTimeout(resolve, 50); });
}

test('the plan is used up in sight, and one more is refused in words', async () => {
  const small = await startService({ ...trackers.environment, PLAN_LIMITS: 'starter=1,pro=1,pro_plus=1,business=1' });
  try {
    const [{ body: one }, { body: other }] = trackers.connections;
    const { page, isQuiet, close } = await openConsole(browser, small);
    await add(page, one);
    await page.getByText('Business plan: 1 of 1 connection used').waitFor();
    await page.getByRole('button', { name: 'Close' }).click();
    await openAdd(page);
    await page.locator('#connection-form .warning').waitFor();
    await fill(page, other);
    await save(page);
    await page.locator('#form-outcome .problem').waitFor();
    assert.match(await page.locator('#form-outcome').innerText(), /connection_limit_reached/);
    isQuiet(['409 /api/v1/connections']);
    await close();
  } finally {
    await small.stop();
  }
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
      const { page, isQuiet, close } = await openConsole(browser, service);
      await add(page, demo(`Demo ${scenario}`, scenario));
      const answer = await openStats(page, `Demo ${scenario}`);
      assert.equal(answer.status, status);
      assert.match(await page.locator('#stats-outcome').innerText(), says);
      assert.match(await page.locator('#stats-outcome').innerText(), /Choose the scenario healthy/);
      await page.getByRole('link', { name: 'Connections' }).click();
      await item(page, `Demo ${scenario}`).locator(`.badge:text-is("${badge}")`).waitFor();
      await remove(page, `Demo ${scenario}`);
      isQuiet([`${status} /api/v1/connections/{id}/stats`]);
      await close();
    });
  }
});

test('a pull that takes long can be cancelled, and the next one is not disturbed by it', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  await add(page, demo('Slow one', 'slow'));
  await page.getByRole('link', { name: 'Statistics: Slow one' }).click();
  await page.locator('#stats-outcome .busy').getByText(/[12] s/).waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(await page.locator('#stats-outcome').innerText(), '');
  await page.getByRole('link', { name: 'Connections' }).click();
  await add(page, demo('Quick'));
  await openStats(page, 'Quick');
  assert.equal((await pull(page)).status, 200);
  await page.waitForTimeout(DEADLINE_MS);
  assert.equal(await page.locator('#stats-outcome').innerText(), '');
  assert.ok(await page.locator('#stats-answer table').isVisible());
  isQuiet();
  await close();
});

test('a connection that is gone is answered in words, and leaves the list', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  await add(page, demo('Fleeting'));
  await openStats(page, 'Fleeting');
  const { body: { data: [{ id }] } } = await api(service, 'GET', '/connections?q=Fleeting');
  await api(service, 'DELETE', `/connections/${id}`);
  assert.equal((await pull(page)).status, 410);
  assert.match(await page.locator('#stats-outcome').innerText(), /connection_deleted/);
  await page.reload();
  await page.locator('#stats-outcome .problem').waitFor();
  await page.getByRole('link', { name: 'Connections' }).click();
  await item(page, 'Quick').waitFor();
  assert.equal(await item(page, 'Fleeting').count(), 0);
  isQuiet(['410 /api/v1/connections/{id}/stats', '410 /api/v1/connections/{id}']);
  await close();
});

test('events of connections are listed with the newest first, and later ones are looked for', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  const { body: { id } } = await api(service, 'POST', '/connections', demo('Eventful', 'rejected_key'));
  await api(service, 'GET', `/connections/${id}/stats?preset=today`);
  await page.getByRole('link', { name: 'Events' }).click();
  const events = page.locator('#events > li');
  await events.first().getByText('Failing').waitFor();
  assert.match(await events.first().innerText(), /Failing · Eventful/);
  await api(service, 'DELETE', `/connections/${id}`);
  await page.getByRole('button', { name: 'Look for later events' }).click();
  await events.first().getByText('Deleted').waitFor();
  isQuiet();
  await close();
});

test('a webhook is added, tried, turned off and on, given another secret and deleted', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  const deliveries = [];
  const receiver = createServer((request, response) => {
    deliveries.push(request.headers['webhook-signature']);
    request.resume().on('end', () => response.writeHead(204).end());
  });
  await new Promise((resolve) => { receiver.listen(0, '127.0.0.1', resolve); });
  const url = `http://127.0.0.1:${receiver.address().port}/`;
  await page.getByRole('link', { name: 'Webhooks' }).click();
  await page.locator('#webhooks-problem .empty').waitFor();
  await page.getByRole('button', { name: 'Add the webhook' }).click();
  await errorAt(page, '/url');
  await page.locator('[data-pointer="/url"]').fill('https://10.0.0.1/');
  await page.getByRole('button', { name: 'Add the webhook' }).click();
  assert.match(await errorAt(page, '/url'), /public hosts/);
  await page.locator('[data-pointer="/url"]').fill(url);
  await page.locator('[data-pointer="/description"]').fill('Alerts');
  await page.getByRole('button', { name: 'Add the webhook' }).click();
  const secret = await page.locator('#webhook-outcome code').innerText();
  assert.match(secret, /^whsec_.{44}$/);
  const hook = page.locator('#webhooks > li').filter({ has: page.getByRole('heading', { name: 'Alerts' }) });
  await act(page, 'Test', 'Alerts');
  await hook.getByText('The receiver took it: 204.').waitFor();
  assert.equal(deliveries.length, 1);
  await act(page, 'Turn off', 'Alerts');
  await hook.locator('.badge').getByText('Off').waitFor();
  await act(page, 'Turn on', 'Alerts');
  await hook.locator('.badge').getByText('Active').waitFor();
  await act(page, 'New secret', 'Alerts');
  assert.notEqual(await hook.locator('code').innerText(), secret);
  await act(page, 'Deliveries', 'Alerts');
  await hook.getByText('Delivered: webhook.test').waitFor();
  await act(page, 'Delete', 'Alerts');
  await hook.waitFor({ state: 'detached' });
  assert.deepEqual((await api(service, 'GET', '/webhooks')).body.data, []);
  receiver.close();
  isQuiet(['422 /api/v1/webhooks']);
  await close();
});

test('what is saved at once is verified in the background, and its history has every verification', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  await openAdd(page);
  await fill(page, demo('Later'));
  await page.getByRole('checkbox', { name: 'Save at once and verify in the background' }).check();
  const [response] = await Promise.all([page.waitForResponse((response) => response.request().method() === 'POST'), save(page)]);
  assert.equal(new URL(response.url()).search, '?verify=deferred');
  const { id, status } = await response.json();
  assert.equal(status, 'unverified');
  await until(async () => (await api(service, 'GET', `/connections/${id}`)).body.status === 'active');
  await act(page, 'Verify', 'Later');
  await item(page, 'Later').locator('.verification.ok').waitFor();
  await act(page, 'History', 'Later');
  await item(page, 'Later').locator('details').nth(1).locator('summary').click();
  assert.equal(await item(page, 'Later').locator('details').count(), 2);
  assert.ok(await item(page, 'Later').locator('details').nth(1).locator('.verification.ok').isVisible());
  await remove(page, 'Later');
  isQuiet();
  await close();
});

test('what keeps a connection from being checked, a plan that is exceeded and a key of another type are shown', async () => {
  const [warning, reason] = [
    { code: 'access_blocked', detail: 'A firewall answered instead.', since: new Date(Date.now() - 3 * 3_600_000).toISOString() },
    { code: 'wrong_portal', owner: 'you', pointer: '/connection_type', detail: 'The key is an affiliate’s.', hint: 'Add it as an affiliate.', source: 'background' },
  ];
  await api(service, 'POST', '/connections', demo('Walled'));
  await api(service, 'POST', '/connections', demo('Of the other type'));
  const { page, isQuiet, close } = await openConsole(browser, service, {
    prepare: async (page) => {
      await page.route(/api\/v1\/connections(\?|$)/, async (route) => {
        const response = await route.fetch();
        const json = await response.json();
        for (const connection of json.data) {
          if (connection.name === 'Walled') connection.health.warning = warning;
          if (connection.name === 'Of the other type') Object.assign(connection, { status: 'failing', health: { ...connection.health, reason } });
        }
        await route.fulfill({ response, json });
      });
      await page.route('**/api/v1/usage', async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, json: { plan: 'starter', limit: 1, used: 3, remaining: 0, over_limit: true, demo_used: 2 } });
      });
    },
  });
  const walled = await item(page, 'Walled').innerText();
  assert.ok(walled.includes(warning.detail) && /Since 3 hours ago\./.test(walled), walled);
  assert.match(await page.locator('#usage').innerText(), /Starter plan: 3 of 1 connection used.*More than the plan allows/);
  const other = item(page, 'Of the other type');
  assert.match(await other.innerText(), /Found by a check in the background\./);
  const affiliate = catalogue.data.find(({ platform }) => platform === 'demo').connection_types.find((type) => type.connection_type === 'affiliate');
  await page.getByRole('button', { name: `Add again as ${affiliate.title}: Of the other type` }).click();
  assert.ok(await page.locator('[name=platform][value=demo]').isChecked());
  assert.ok(await page.locator('[name=connection_type][value=affiliate]').isChecked());
  for (const name of ['Walled', 'Of the other type']) {
    const { body: { data: [{ id }] } } = await api(service, 'GET', `/connections?q=${encodeURIComponent(name)}`);
    await api(service, 'DELETE', `/connections/${id}`);
  }
  isQuiet();
  await close();
});
