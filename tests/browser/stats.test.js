// Questions of the console to statistics: what it asks, and what cannot be asked.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, open } from './support/browser.js';
import { add, answered, api, control, errorAt, expected, openConsole, openStats, pull, signIn, table } from './support/console.js';
import { startService, startTrackers } from './support/processes.js';
import { openDemo, query, tick } from './support/statistics.js';

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

const disabled = (page) =>
  page.locator('[name=group_by]:disabled').evaluateAll((nodes) => nodes.map((node) => node.value));

test('what is asked for is what was chosen: days, filters by name, bounds, search, metrics, order and size', async () => {
  const { page, id, isQuiet, close } = await openDemo(browser, service, 'Chosen');
  const { body: values } = await api(service, 'GET', `/connections/${id}/dimensions/country/values?limit=25&timezone=Asia/Kathmandu`);
  const [{ id: country, name }] = values.data;
  await page.getByRole('checkbox', { name: 'Date', exact: true }).uncheck();
  await tick(page, 'Country');
  await page.getByLabel('Days').selectOption('');
  await page.getByLabel('From', { exact: true }).fill('2026-01-05');
  await page.getByLabel('To', { exact: true }).fill('2026-02-03');
  await page.getByLabel('Time zone').fill('Asia/Kathmandu');
  await page.getByText('Filters and search').click();
  await page.getByLabel('Filter to add').selectOption('country');
  await page.getByRole('button', { name: 'Add filter' }).click();
  const [asked] = await Promise.all([
    page.waitForResponse((response) => response.url().includes('/dimensions/country/values') && response.url().includes('q=')),
    page.locator('.filter input[type=search]').fill(name.slice(0, 4)),
  ]);
  assert.deepEqual(query(asked.url()), { q: name.slice(0, 4), limit: '25', timezone: 'Asia/Kathmandu' });
  await page.getByRole('checkbox', { name }).check();
  assert.match(await page.locator('.chips').innerText(), new RegExp(name));
  // What no list has is typed, a comma in it too.
  await page.getByLabel('Filter to add').selectOption('sub6');
  await page.getByRole('button', { name: 'Add filter' }).click();
  await page.getByLabel('Only Keyword').fill('a,b\\c');
  await page.getByLabel('Only Keyword').press('Enter');
  await page.getByRole('button', { name: 'Remove the filter Keyword' }).click();
  await page.getByLabel('Name or id contains').fill(name);
  await page.getByText('Metrics, order and size').click();
  await page.getByLabel('Rows a page').selectOption('1000');
  for (const box of await page.locator('[name=metrics]').all()) {
    if (!['clicks', 'revenue', 'epc'].includes(await box.getAttribute('value'))) await box.uncheck();
  }
  await page.getByLabel('Sort').selectOption('-revenue');
  await page.getByText('Bounds of metrics').click();
  await page.getByLabel('Clicks, at least', { exact: true }).fill('1');
  await page.getByLabel('Revenue, at most').fill('999999.5');
  const { url, body } = await pull(page);
  const wanted = {
    'group_by': 'country', 'from': '2026-01-05', 'to': '2026-02-03', 'timezone': 'Asia/Kathmandu', 'sort': '-revenue', 'search': name,
    'limit': '1000', 'filter[country]': country, 'metrics': 'clicks,revenue,epc', 'min[clicks]': '1', 'max[revenue]': '999999.5',
  };
  assert.deepEqual(query(url), wanted);
  assert.ok(body.rows.length > 0 && body.rows.every((row) => row.country.id === country));
  assert.deepEqual(await table(page), expected(body));

  // The address carries the question and no token, and asks the same again for everyone who opens it.
  const link = new URL(page.url());
  assert.ok(!link.href.includes(service.token));
  const carried = Object.fromEntries(new URLSearchParams(link.hash.split('?')[1]));
  assert.deepEqual(carried, { connection: id, ...wanted });
  const again = await answered(page, () => page.reload());
  assert.deepEqual(query(again.url), wanted);
  assert.equal(await page.getByLabel('From', { exact: true }).inputValue(), '2026-01-05');
  assert.ok(await page.locator('.chips li').isVisible());
  isQuiet();
  await close();
});

test('filters by text keep every letter: commas, backslashes, and the rows without a value', async () => {
  const { page, id, isQuiet, close } = await openDemo(browser, service, 'Letters');
  await page.getByText('Filters and search').click();
  await page.getByLabel('Filter to add').selectOption('sub1');
  await page.getByRole('button', { name: 'Add filter' }).click();
  const input = page.getByLabel('Only Creative');
  for (const text of ['a,b', 'c\\d']) {
    await input.fill(text);
    await input.press('Enter');
  }
  const { url, body } = await pull(page);
  assert.deepEqual(new URL(url).searchParams.getAll('filter[sub1]'), ['a\\,b,c\\\\d']);
  assert.deepEqual(body.query.filters, { sub1: ['a,b', 'c\\d'] });
  const reloaded = await answered(page, () => page.reload());
  assert.deepEqual(reloaded.body.query.filters, { sub1: ['a,b', 'c\\d'] });
  assert.deepEqual(await page.locator('.chips bdi').allInnerTexts(), ['a,b', 'c\\d']);
  const { body: values } = await api(service, 'GET', `/connections/${id}/dimensions/sub1/values?limit=100`);
  assert.ok(values.data.some((value) => value.id === ''), 'Demo has rows without one');
  await page.getByLabel('Only Creative').click();
  await page.getByRole('checkbox', { name: 'without one' }).check();
  const { url: second, body: rows } = await pull(page);
  assert.deepEqual(new URL(second).searchParams.getAll('filter[sub1]'), ['a\\,b,c\\\\d', '']);
  assert.ok(rows.rows.length > 0);
  isQuiet();
  await close();
});

test('a heading sorts, and says how', async () => {
  const { page, isQuiet, close } = await openDemo(browser, service, 'Sorted');
  await tick(page, 'Offer');
  await pull(page);
  const heading = page.getByRole('columnheader', { name: 'Revenue' });
  for (const [sort, says] of [['-revenue', 'descending'], ['revenue', 'ascending']]) {
    const { url, body } = await answered(page, () => heading.getByRole('button').click());
    assert.equal(query(url).sort, sort);
    await page.locator(`th[aria-sort=${says}]`, { hasText: 'Revenue' }).waitFor();
    assert.deepEqual(await table(page), expected(body));
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Revenue');
  }
  isQuiet();
  await close();
});

test('dimensions that do not go together cannot be ticked together', async () => {
  const { page, isQuiet, close } = await openDemo(browser, service, 'Three');
  await tick(page, 'Hour');
  await tick(page, 'Country');
  assert.equal((await disabled(page)).length, await page.locator('[name=group_by]:not(:checked)').count());
  await page.getByRole('checkbox', { name: 'Hour', exact: true }).uncheck();
  assert.deepEqual(await disabled(page), []);

  // Of the trackers, CAKE lists the combinations that it has.
  const { body } = trackers.connections.find(({ body }) => body.platform === 'cake' && body.connection_type === 'affiliate');
  await page.getByRole('link', { name: 'Connections' }).click();
  await add(page, body);
  await openStats(page, body.name);
  // Weeks and months go in the place of days.
  assert.deepEqual(await disabled(page), ['week', 'month']);
  await tick(page, 'Hour');
  assert.deepEqual(await disabled(page), ['week', 'month', 'offer', 'campaign', 'sub1']);
  const { body: answer } = await pull(page);
  assert.deepEqual(await table(page), expected(answer));
  assert.deepEqual((await page.locator('.warning p').allInnerTexts()).sort(), answer.warnings.map(({ detail }) => detail).sort());
  assert.ok(answer.warnings.length > 0);

  // Neither can what is filtered: it is read along.
  await page.getByText('Filters and search').click();
  const closed = () => page.getByLabel('Filter to add').locator('option:disabled').evaluateAll((nodes) => nodes.map((node) => node.value));
  assert.deepEqual(await closed(), ['week', 'month', 'offer', 'campaign', 'sub1']);
  await page.getByRole('checkbox', { name: 'Hour', exact: true }).uncheck();
  await tick(page, 'Offer');
  assert.deepEqual(await closed(), ['week', 'month', 'hour', 'sub1']);
  await page.getByLabel('Filter to add').selectOption('campaign');
  await page.getByRole('button', { name: 'Add filter' }).click();
  await control(page, '/filter[campaign]').fill('1');
  await control(page, '/filter[campaign]').press('Enter');
  assert.deepEqual(await disabled(page), ['week', 'month', 'hour', 'sub1']);
  assert.equal((await pull(page)).status, 200);
  isQuiet();
  await close();
});

test('a warning that a setting answers leads to that setting', async () => {
  const { body } = trackers.connections.find(({ body }) => body.platform === 'cake' && body.connection_type === 'affiliate');
  const { body: { data: [known] } } = await api(service, 'GET', '/connections?platform=cake');
  const { page, isQuiet, close } = await openConsole(browser, service);
  const { body: answer } = await openStats(page, known.name);
  assert.ok(answer.warnings.some(({ code }) => code === 'timezone_fixed_by_platform'), JSON.stringify(answer.warnings));
  const entry = (await api(service, 'GET', `/platforms/${body.platform}`)).body.connection_types.find((type) => type.connection_type === body.connection_type);
  await page.getByRole('button', { name: `Set ${entry.settings_schema.properties.timezone.title}` }).click();
  await control(page, '/settings/timezone').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.dataset.pointer), '/settings/timezone');
  await control(page, '/settings/timezone').fill('Europe/Berlin');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('#form-outcome .done').waitFor();
  const { body: after } = await answered(page, () => page.getByRole('link', { name: 'Show its statistics' }).click());
  assert.ok(!after.warnings.some(({ code }) => code === 'timezone_fixed_by_platform'));
  isQuiet();
  await close();
});

test('what a platform does not know is called as others call it', async () => {
  const { body: { data: [known] } } = await api(service, 'GET', '/connections?platform=cake');
  const { page, isQuiet, close } = await openConsole(browser, service);
  await openStats(page, known.name);
  await page.getByText('Metrics, order and size').click();
  const unknown = page.getByText('This platform does not know');
  assert.match(await unknown.innerText(), /: .*\bROI\b.*\.$/);
  assert.doesNotMatch(await unknown.innerText(), /\bRoi\b|_/);
  isQuiet();
  await close();
});

test('the same question is answered from what is kept, and the platform is asked again when that is wanted', async () => {
  const { page, isQuiet, close } = await openDemo(browser, service, 'Kept');
  const says = page.locator('#stats-answer > p.quiet');
  assert.match(await says.innerText(), /^Fetched /);
  await pull(page);
  assert.match(await says.innerText(), /^Cached since /);
  const { url } = await answered(page, () => page.getByRole('button', { name: 'Ask the platform again' }).click());
  assert.equal(query(url).fresh, 'true');
  assert.match(await says.innerText(), /^Fetched /);
  isQuiet();
  await close();
});

test('a view without a question asks no platform, and its link leads back to the last question', async () => {
  const { page, isQuiet, close } = await openDemo(browser, service, 'Led back');
  const asked = [];
  page.on('request', (request) => { if (request.url().includes('/stats?')) asked.push(request.url()); });
  await tick(page, 'Offer');
  const { url } = await pull(page);
  const statistics = page.getByRole('link', { name: 'Statistics', exact: true });
  await page.getByRole('link', { name: 'Events' }).click();
  const again = await answered(page, () => statistics.click());
  assert.equal(again.url, url);
  await page.goto(`${service.url}/console/#events`);
  await page.reload();
  await page.locator('#events-view').waitFor();
  asked.length = 0;
  await statistics.click();
  await page.getByText('Choose what to see, then press Show statistics.').waitFor();
  assert.deepEqual(asked, []);
  assert.equal((await pull(page)).status, 200);
  isQuiet();
  await close();
});

test('going back asks the question before', async () => {
  const { page, isQuiet, close } = await openDemo(browser, service, 'Before');
  await tick(page, 'Country');
  await pull(page);
  const { url } = await answered(page, () => page.goBack());
  assert.equal(query(url).group_by, 'date');
  assert.equal(await page.getByRole('checkbox', { name: 'Country', exact: true }).isChecked(), false);
  isQuiet();
  await close();
});

test('another connection is chosen in the form, and asked when that is wanted', async () => {
  const { page, isQuiet, close } = await openDemo(browser, service, 'First of two');
  await api(service, 'POST', '/connections', { name: 'Second of two', platform: 'demo', connection_type: 'affiliate' });
  await answered(page, () => page.reload());
  const which = page.getByLabel('Connection', { exact: true });
  await which.selectOption({ label: 'Second of two (Demo)' });
  assert.equal(await page.locator('#stats-answer').innerText(), '');
  assert.equal(await page.evaluate(() => document.activeElement.name), 'connection');
  const { body } = await pull(page);
  assert.equal(body.connection.name, 'Second of two');
  assert.ok(!body.columns.some(({ key }) => key === 'payout'));
  isQuiet();
  await close();
});

test('a question that cannot be answered is refused at its field', async () => {
  const { page, isQuiet, close } = await openDemo(browser, service, 'Wrong');
  await page.getByLabel('Time zone').fill('Mars/Olympus');
  assert.equal((await pull(page)).status, 422);
  assert.notEqual(await errorAt(page, '/timezone'), '');
  await page.getByLabel('Time zone').fill('UTC');
  await page.getByLabel('Days').selectOption('');
  await page.getByRole('button', { name: 'Show statistics' }).click();
  assert.notEqual(await errorAt(page, '/from'), '');
  await page.getByLabel('From', { exact: true }).fill('2026-02-03');
  await page.getByLabel('To', { exact: true }).fill('2026-01-05');
  assert.equal((await pull(page)).status, 422);
  assert.notEqual(await errorAt(page, '/to'), '');
  await page.getByLabel('To', { exact: true }).fill('2026-02-10');
  await page.getByLabel('Compare with').selectOption('previous_month');
  await page.getByRole('checkbox', { name: 'Date', exact: true }).uncheck();
  await tick(page, 'Week');
  assert.equal((await pull(page)).status, 422);
  assert.notEqual(await errorAt(page, '/compare'), '');
  isQuiet(['422 /api/v1/connections/{id}/stats', '422 /api/v1/connections/{id}/stats', '422 /api/v1/connections/{id}/stats']);
  await close();
});

test('a link that is opened without a token asks for one, and then its question', async () => {
  const { body: { id } } = await api(service, 'POST', '/connections', { name: 'Linked', platform: 'demo' });
  const { page, isQuiet, close } = await open(browser, `${service.url}/console/#statistics?connection=${id}&group_by=offer&preset=yesterday&timezone=UTC`, { origins: [service.url] });
  const { url, body } = await answered(page, () => signIn(page, service.token));
  assert.deepEqual([query(url).group_by, query(url).preset, body.connection.name], ['offer', 'yesterday', 'Linked']);
  isQuiet();
  await close();
});

test('a link to a connection that is not there is answered in words', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  await page.evaluate(() => { location.hash = '#statistics?connection=01990000-0000-7000-8000-000000000000&group_by=date'; });
  await page.locator('#stats-outcome .problem').getByText('not_found').waitFor();
  isQuiet(['404 /api/v1/connections/{id}']);
  await close();
});
