// Swagger UI as a first-time user meets it, over the real binary.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { NAME, launch, open } from './support/browser.js';
import { startService } from './support/processes.js';

let browser;
let service;
let origin;

before(async () => {
  browser = await launch();
  service = await startService();
  origin = service.url.replace('127.0.0.1', NAME);
});

after(async () => {
  await browser?.close();
  await service?.stop();
});

const openSwagger = async () => {
  const opened = await open(browser, `${origin}/swagger-ui/`, { origins: [origin] });
  await opened.page.waitForSelector('.opblock');
  return opened;
};

async function authorize(page, token) {
  await page.locator('.auth-wrapper .btn.authorize').click();
  const dialog = page.locator('.dialog-ux');
  await dialog.locator('input').fill(token);
  await dialog.getByRole('button', { name: 'Apply credentials' }).click();
  await dialog.getByRole('button', { name: 'Close' }).click();
}

/** Executes an operation with what the page has filled in, but for the parameters and the body given here. */
async function execute(page, operation, { parameters = {}, body } = {}) {
  const block = page.locator(`.opblock[id$="-${operation}"]`);
  const send = block.getByRole('button', { name: 'Execute' });
  if (!(await block.locator('.opblock-body').isVisible())) await block.locator('.opblock-summary-control').click();
  await send.waitFor();
  const clear = block.getByRole('button', { name: 'Clear' });
  if (await clear.isVisible()) await clear.click();
  for (const [name, value] of Object.entries(parameters)) {
    await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
  }
  if (body !== undefined) await block.locator('textarea.body-param__text').fill(body);
  await send.click();
  const answer = block.locator('.live-responses-table .response');
  await answer.waitFor();
  const status = (await answer.locator('.response-col_status').innerText()).match(/\d{3}/)[0];
  const code = answer.locator('.response-col_description .highlight-code code').first();
  const shown = (await code.count()) > 0 ? await code.innerText() : '';
  // What stays open is drawn again at every step.
  await block.locator('.opblock-summary-control').click();
  return { status: Number(status), shown, body: shown === '' ? null : JSON.parse(shown) };
}

/** The height of a laptop's screen. */
const SCREEN = 720;
/** What an opened operation, and its answers alone, may take of the page. */
const OPERATION_AT_MOST = 8 * SCREEN;
const ANSWERS_AT_MOST = 4 * SCREEN;

test('every operation opens without a complaint, and neither its parameters nor its answers bury the rest', async () => {
  const { page, isQuiet, close } = await openSwagger();
  const { paths } = await (await fetch(`${service.url}/api-docs/openapi.json`)).json();
  const operations = Object.values(paths).flatMap(Object.values);
  for (const { operationId } of operations) {
    const block = page.locator(`.opblock[id$="-${operationId}"]`);
    await block.locator('.opblock-summary-control').click();
    await block.locator('.responses-inner').first().waitFor();
    const { height } = await block.locator('.responses-wrapper').boundingBox();
    assert.ok(height <= ANSWERS_AT_MOST, `the answers of ${operationId} are ${Math.round(height)} px high`);
    const { height: whole } = await block.boundingBox();
    assert.ok(whole <= OPERATION_AT_MOST, `${operationId} is ${Math.round(whole)} px high`);
    await block.locator('.opblock-summary-control').click();
  }
  assert.equal(await page.locator('.opblock').count(), operations.length);
  isQuiet();
  await close();
});

test('a first-time user adds, verifies, pulls and deletes a Demo connection with what is filled in', async () => {
  const { page, isQuiet, close } = await openSwagger();
  await authorize(page, service.token);

  const created = await execute(page, 'create_connection');
  assert.equal(created.status, 201, created.shown);
  assert.equal(created.body.platform, 'demo');
  assert.equal(created.body.status, 'active');
  const parameters = { id: created.body.id };

  const verified = await execute(page, 'verify_connection', { parameters });
  assert.equal(verified.status, 200, verified.shown);
  assert.equal(verified.body.status, 'ok');

  const pulled = await execute(page, 'connection_stats', { parameters });
  assert.equal(pulled.status, 200, pulled.shown);
  assert.equal(pulled.body.connection.id, created.body.id);
  assert.ok(pulled.body.rows.length > 0);
  assert.ok(pulled.body.totals.length > 0);

  const listed = await execute(page, 'list_connections');
  assert.equal(listed.status, 200, listed.shown);

  assert.equal((await execute(page, 'delete_connection', { parameters })).status, 204);
  const gone = await execute(page, 'show_connection', { parameters });
  assert.equal(gone.status, 410);
  assert.equal(gone.body.code, 'connection_deleted');
  isQuiet(['410 /api/v1/connections/{id}']);
  await close();
});

test('parameters of one family stand beside each other below what they do, and each is sent', async () => {
  const { page, isQuiet, close } = await openSwagger();
  await authorize(page, service.token);
  const created = await execute(page, 'create_connection', { body: JSON.stringify({ name: 'Families', platform: 'demo' }) });
  const id = created.body.id;
  const block = page.locator('.opblock[id$="-connection_stats"]');
  await block.locator('.opblock-summary-control').click();
  await block.getByRole('button', { name: 'Execute' }).waitFor();
  const place = (name) => block.locator(`tr[data-param-name="${name}"]`).boundingBox();
  for (const [family, first, second, third] of [['filter', 'date', 'week', 'month'], ['min', 'impressions', 'clicks', 'unique_clicks']]) {
    const description = (key) => block.locator(`tr[data-param-name="${family}[${key}]"] .renderedMarkdown`);
    // The button is there before all descriptions are.
    await description(first).waitFor();
    assert.deepEqual([await description(second).isVisible(), await description(third).isVisible()], [false, false]);
    const [one, other] = [await place(`${family}[${second}]`), await place(`${family}[${third}]`)];
    assert.ok(one.y === other.y && one.x + one.width <= other.x, JSON.stringify([one, other]));
  }
  await block.locator('.opblock-summary-control').click();
  const answer = await execute(page, 'connection_stats', { parameters: { id, 'filter[country]': 'DE', 'min[clicks]': '1' } });
  assert.equal(answer.status, 200, answer.shown);
  assert.deepEqual([answer.body.query.filters, answer.body.query.min], [{ country: ['DE'] }, { clicks: '1' }]);
  assert.equal((await execute(page, 'delete_connection', { parameters: { id } })).status, 204);
  isQuiet();
  await close();
});

test('a wrong body is answered with every wrong field and what is wrong with it, in words', async () => {
  const { page, isQuiet, close } = await openSwagger();
  await authorize(page, service.token);
  const body = JSON.stringify({ name: '', platform: 'demo', connection_type: 'admin', settings: { scenario: 'sunny' } });
  const refused = await execute(page, 'create_connection', { body });
  assert.equal(refused.status, 422);
  assert.equal(refused.body.code, 'validation_failed');
  assert.deepEqual(refused.body.errors.map(({ pointer }) => pointer).sort(), ['/name', '/settings/scenario']);
  for (const { detail } of refused.body.errors) assert.match(detail, /^[A-Z].*\.$/);
  isQuiet(['422 /api/v1/connections']);
  await close();
});

test('without a token the answer says so, and a token once given outlives a reload', async () => {
  const { page, isQuiet, close } = await openSwagger();
  const refused = await execute(page, 'show_usage');
  assert.equal(refused.status, 401);
  assert.equal(refused.body.code, 'unauthorized');
  await authorize(page, service.token);
  await page.reload();
  await page.waitForSelector('.opblock');
  assert.equal((await execute(page, 'show_usage')).status, 200);
  isQuiet(['401 /api/v1/usage']);
  await close();
});
