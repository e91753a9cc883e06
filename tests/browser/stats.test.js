// The statistics query of examples/form: what it asks, and that the table is the answer, digit by digit.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './support/browser.js';
import { serveFiles } from './support/files.js';
import { FILES, add, control, errorAt, expected, openForm, openStats, pull, table } from './support/form.js';
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

const tick = (page, label) => page.getByRole('checkbox', { name: label, exact: true }).check();
const disabled = (page) =>
  page.locator('[name=group_by]:disabled').evaluateAll((nodes) => nodes.map((node) => node.value));

/** Opens the statistics of a new Demo connection. */
async function openDemo(name, type = 'admin') {
  const opened = await openForm(browser, files, service);
  await add(opened.page, { name, platform: 'demo', connection_type: type });
  await openStats(opened.page, name);
  return opened;
}

test('all pages together are the whole table, and every currency has its total', async () => {
  const { page, isQuiet, close } = await openDemo('Pages');
  await tick(page, 'Affiliate');
  const { url, body } = await pull(page);
  const { searchParams } = new URL(url);
  assert.equal(searchParams.get('group_by'), 'date,affiliate');
  assert.equal(searchParams.get('timezone'), 'Europe/Berlin');
  assert.equal(searchParams.get('metrics').split(',').length, await page.locator('[name=metrics]').count());
  assert.ok(body.row_count > body.rows.length, 'one page is not enough');
  assert.ok(body.totals.length > 1);
  assert.match(await page.locator('#stats-table').innerText(), /affzero; fwd=/, 'the page may read Cache-Status');

  const more = page.getByRole('button', { name: 'Show more rows' });
  const rows = [...body.rows];
  while (await more.isVisible()) {
    const [response] = await Promise.all([page.waitForResponse((response) => response.url().includes('cursor=')), more.click()]);
    rows.push(...(await response.json()).rows);
    await page.getByText(`${rows.length} of ${body.row_count} rows`).waitFor();
  }
  assert.equal(rows.length, body.row_count);
  assert.deepEqual(await table(page), expected({ ...body, rows }));
  isQuiet();
  await close();
});

test('what is asked for is what was chosen: days, filter, metrics, order and size', async () => {
  const { page, isQuiet, close } = await openDemo('Chosen');
  await tick(page, 'Country');
  const { body: all } = await pull(page);
  const country = all.rows[0].country.id;

  await page.getByRole('checkbox', { name: 'Date', exact: true }).uncheck();
  await page.locator('select[name=preset]').selectOption('');
  await page.getByLabel('From').fill('2026-01-05');
  await page.getByLabel('To', { exact: true }).fill('2026-02-03');
  await page.getByLabel('Time zone').fill('Asia/Kathmandu');
  await page.locator('select[name=limit]').selectOption('1000');
  await page.getByText('Filters').click();
  await control(page, '/filter[country]').fill(country);
  await page.locator('summary', { hasText: 'Metrics' }).click();
  for (const box of await page.locator('[name=metrics]').all()) {
    if (!['clicks', 'revenue', 'epc'].includes(await box.getAttribute('value'))) await box.uncheck();
  }
  await page.locator('select[name=sort]').selectOption('-revenue');
  const { url, body } = await pull(page);
  assert.deepEqual(Object.fromEntries(new URL(url).searchParams), {
    'group_by': 'country', 'from': '2026-01-05', 'to': '2026-02-03', 'timezone': 'Asia/Kathmandu', 'sort': '-revenue',
    'limit': '1000', 'filter[country]': country, 'metrics': 'clicks,revenue,epc',
  });
  assert.ok(body.rows.length > 0 && body.rows.every((row) => row.country.id === country));
  assert.deepEqual(await table(page), expected(body));
  isQuiet();
  await close();
});

test('a heading sorts, and says how', async () => {
  const { page, isQuiet, close } = await openDemo('Sorted');
  await tick(page, 'Offer');
  await pull(page);
  const heading = page.getByRole('columnheader', { name: 'Revenue' });
  for (const [sort, says] of [['-revenue', 'descending'], ['revenue', 'ascending']]) {
    const [response] = await Promise.all([
      page.waitForResponse((response) => response.url().includes('/stats?')),
      heading.getByRole('button').click(),
    ]);
    assert.equal(new URL(response.url()).searchParams.get('sort'), sort);
    await page.locator(`th[aria-sort=${says}]`, { hasText: 'Revenue' }).waitFor();
    assert.deepEqual(await table(page), expected(await response.json()));
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Revenue');
  }
  isQuiet();
  await close();
});

test('money is the text that came, decimal points stand in line, and what is unknown is a dash', async () => {
  const { page, isQuiet, close } = await openDemo('Exact', 'affiliate');
  await page.route('**/stats?*', async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    // More digits than a binary float keeps, a trailing zero, and a loss.
    json.rows[0].revenue = '90071992547409931234.100000';
    json.rows[1].revenue = '-1234.50';
    json.rows[0].epc = null;
    json.rows[0].clicks = 0;
    await route.fulfill({ response, json });
  });
  const { body } = await pull(page);
  const money = page.locator('tbody [data-key=revenue], tfoot [data-key=revenue]');
  const cells = await money.evaluateAll((nodes) => nodes.map((node) => ({
    text: node.textContent,
    align: getComputedStyle(node).textAlign,
    digits: (node.textContent + (node.dataset.room ?? '')).split('.')[1]?.length ?? 0,
  })));
  assert.deepEqual(cells.map(({ text }) => text), [...body.rows, ...body.totals].map(({ revenue }) => revenue));
  assert.deepEqual([...new Set(cells.map(({ align }) => align))], ['end']);
  assert.equal(new Set(cells.map(({ digits }) => digits)).size, 1);
  const [first] = (await table(page)).body;
  const place = (label) => page.locator('thead th').allInnerTexts().then((labels) => labels.indexOf(label));
  assert.equal(first[await place('Clicks')], '0');
  assert.equal(first[await place('EPC')], '–');
  assert.equal(await page.locator('tbody [data-key=epc] abbr').first().getAttribute('title'), 'not known');
  isQuiet();
  await close();
});

test('dimensions that do not go together cannot be ticked together', async () => {
  const { page, isQuiet, close } = await openDemo('Three');
  await tick(page, 'Hour');
  await tick(page, 'Country');
  assert.equal((await disabled(page)).length, await page.locator('[name=group_by]:not(:checked)').count());
  await page.getByRole('checkbox', { name: 'Hour', exact: true }).uncheck();
  assert.deepEqual(await disabled(page), []);

  // Of the trackers, CAKE lists the combinations that it has.
  const { body } = trackers.connections.find(({ body }) => body.platform === 'cake' && body.connection_type === 'affiliate');
  await add(page, body);
  await openStats(page, body.name);
  // Weeks and months go in the place of days.
  assert.deepEqual(await disabled(page), ['week', 'month']);
  await tick(page, 'Hour');
  assert.deepEqual(await disabled(page), ['week', 'month', 'offer', 'campaign', 'sub1']);
  const { body: answer } = await pull(page);
  assert.deepEqual(await table(page), expected(answer));
  assert.deepEqual(await page.locator('.warning').allInnerTexts(), answer.warnings.map(({ detail }) => detail));
  assert.ok(answer.warnings.length > 0);

  // Neither can what is filtered: it is read along.
  await page.getByText('Filters').click();
  const closed = () => page.locator('[data-filter]:disabled').evaluateAll((nodes) => nodes.map((node) => node.dataset.filter));
  assert.deepEqual(await closed(), ['week', 'month', 'offer', 'campaign', 'sub1']);
  await page.getByRole('checkbox', { name: 'Hour', exact: true }).uncheck();
  await tick(page, 'Offer');
  assert.deepEqual(await closed(), ['week', 'month', 'hour', 'sub1']);
  await control(page, '/filter[campaign]').fill('1');
  assert.deepEqual(await disabled(page), ['week', 'month', 'hour', 'sub1']);
  assert.equal((await pull(page)).status, 200);
  isQuiet();
  await close();
});

test('what a platform does not know is called as others call it, and one call is one', async () => {
  const { page, isQuiet, close } = await openDemo('Words');
  const { body: pulled } = await pull(page);
  const { upstream_calls: calls } = pulled.source;
  assert.match(await page.locator('#stats-table').innerText(), new RegExp(`in ${calls} ${calls === 1 ? 'call' : 'calls'} and`));
  const { body } = trackers.connections.find(({ body }) => body.platform === 'cake' && body.connection_type === 'affiliate');
  await add(page, { ...body, name: 'Unknowing' });
  await openStats(page, 'Unknowing');
  await page.locator('summary', { hasText: 'Metrics' }).click();
  const unknown = page.getByText('This platform does not know');
  assert.match(await unknown.innerText(), /: .*\bROI\b.*\.$/);
  assert.doesNotMatch(await unknown.innerText(), /\bRoi\b|_/);
  isQuiet();
  await close();
});

test('a question that cannot be answered is refused at its field', async () => {
  const { page, isQuiet, close } = await openDemo('Wrong');
  await page.getByLabel('Time zone').fill('Mars/Olympus');
  assert.equal((await pull(page)).status, 422);
  assert.notEqual(await errorAt(page, '/timezone'), '');
  await page.getByLabel('Time zone').fill('UTC');
  await page.locator('select[name=preset]').selectOption('');
  await page.getByRole('button', { name: 'Show statistics' }).click();
  assert.notEqual(await errorAt(page, '/from'), '');
  await page.getByLabel('From').fill('2026-02-03');
  await page.getByLabel('To', { exact: true }).fill('2026-01-05');
  assert.equal((await pull(page)).status, 422);
  assert.notEqual(await errorAt(page, '/to'), '');
  isQuiet(['422 /api/v1/connections/{id}/stats', '422 /api/v1/connections/{id}/stats']);
  await close();
});
