// Statistics in the console: what it asks, and that what it shows is the answer, digit by digit.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch, open } from './support/browser.js';
import { add, answered, api, control, day, errorAt, expected, openConsole, openStats, pull, signIn, spelled, table } from './support/console.js';
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

const tick = (page, label) => page.getByRole('checkbox', { name: label, exact: true }).check();
const disabled = (page) =>
  page.locator('[name=group_by]:disabled').evaluateAll((nodes) => nodes.map((node) => node.value));

/** Opens the statistics of a new Demo connection. */
async function openDemo(name, type = 'admin', options = {}) {
  const { body: { id } } = await api(service, 'POST', '/connections', { name, platform: 'demo', connection_type: type });
  const opened = await openConsole(browser, service, options);
  const first = await openStats(opened.page, name);
  return { id, first, ...opened };
}

/** Opens the console at a question. */
async function openQuestion(query, options = {}) {
  const opened = await openConsole(browser, service, options);
  const answer = await answered(opened.page, () => opened.page.evaluate((hash) => { location.hash = hash; }, `#statistics?${query}`));
  return { ...opened, answer };
}

const query = (url) => Object.fromEntries(new URL(url).searchParams);

test('all pages together are the whole table, and every currency has its total', async () => {
  const { page, first, isQuiet, close } = await openDemo('Pages');
  assert.equal(query(first.url).group_by, 'date');
  assert.equal(query(first.url).timezone, 'Europe/Berlin');
  await tick(page, 'Affiliate');
  await tick(page, 'Country');
  const { url, body } = await pull(page);
  assert.equal(query(url).group_by, 'date,affiliate,country');
  assert.equal(query(url).metrics.split(',').length, await page.locator('[name=metrics]').count());
  assert.ok(body.row_count > body.rows.length, 'one page is not enough');
  assert.ok(body.totals.length > 1);

  const more = page.getByRole('button', { name: 'Show more rows' });
  const rows = [...body.rows];
  while (rows.length < body.row_count) {
    const [response] = await Promise.all([page.waitForResponse((response) => response.url().includes('cursor=')), more.click()]);
    rows.push(...(await response.json()).rows);
    await page.getByText(`${spelled(rows.length)} of ${spelled(body.row_count)} rows`).waitFor();
  }
  assert.ok(!(await more.isVisible()));
  assert.deepEqual(await table(page), expected({ ...body, rows }));
  for (const total of body.totals) {
    const card = page.locator('.total', { has: page.getByRole('heading', { name: total.currency }) });
    assert.equal(await card.locator('[data-total=revenue] .amount').innerText(), spelled(total.revenue));
    assert.equal(await card.locator('[data-total=clicks] .amount').innerText(), spelled(total.clicks));
  }
  isQuiet();
  await close();
});

test('what is asked for is what was chosen: days, filters by name, bounds, search, metrics, order and size', async () => {
  const { page, id, isQuiet, close } = await openDemo('Chosen');
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
  const { page, id, isQuiet, close } = await openDemo('Letters');
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
  const { page, isQuiet, close } = await openDemo('Sorted');
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

/** Statistics with made-up numbers in them. */
const withNumbers = (change) => ({
  prepare: (page) => page.route('**/stats?*', async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    change(json);
    await route.fulfill({ response, json });
  }),
});

test('money is every digit that came, decimal points stand in line, and what is unknown is a dash', async () => {
  const { page, first: { body }, isQuiet, close } = await openDemo('Exact', 'affiliate', withNumbers(({ rows }) => {
    // More digits than a binary float keeps, a trailing zero, and a loss.
    rows[0].revenue = '90071992547409931234.100000';
    rows[1].revenue = '-1234.50';
    rows[0].epc = null;
    rows[0].clicks = 0;
  }));
  const money = page.locator('tbody [data-key=revenue], tfoot [data-key=revenue]');
  const cells = await money.evaluateAll((nodes) => nodes.map((node) => ({
    text: node.textContent,
    align: getComputedStyle(node.parentElement).textAlign,
    digits: (node.textContent + (node.dataset.room ?? '')).split('.')[1]?.length ?? 0,
  })));
  assert.deepEqual(cells.map(({ text }) => text), [...body.rows, ...body.totals].map(({ revenue }) => spelled(revenue)));
  assert.equal(cells[0].text, '90,071,992,547,409,931,234.100000');
  assert.equal(cells[1].text, '-1,234.50');
  assert.deepEqual([...new Set(cells.map(({ align }) => align))], ['end']);
  assert.equal(new Set(cells.map(({ digits }) => digits)).size, 1);
  const [first] = (await table(page)).body;
  const place = (label) => page.locator('thead th').allInnerTexts().then((labels) => labels.indexOf(label));
  assert.equal(first[await place('Clicks')], '0');
  assert.equal(first[await place('EPC')], '–');
  isQuiet();
  await close();
});

test('numbers and days are written as the browser’s language writes them, and no digit is lost', async (context) => {
  const amounts = ['1234567.8901', '0.10', '-0.000001', '9007199254740993'];
  const spellings = {
    'de-DE': ['1.234.567,8901', '0,10', '-0,000001', '9.007.199.254.740.993'],
    'en-IN': ['12,34,567.8901', '0.10', '-0.000001', '9,00,71,99,25,47,40,993'],
    'es-ES': ['1.234.567,8901', '0,10', '-0,000001', '9.007.199.254.740.993'],
    'ar-EG': ['١٬٢٣٤٬٥٦٧٫٨٩٠١', '٠٫١٠', '\u061c-٠٫٠٠٠٠٠١', '٩٬٠٠٧٬١٩٩٬٢٥٤٬٧٤٠٬٩٩٣'],
    'ja-JP': ['1,234,567.8901', '0.10', '-0.000001', '9,007,199,254,740,993'],
  };
  for (const [locale, spelling] of Object.entries(spellings)) {
    await context.test(locale, async () => {
      const { page, first: { body }, isQuiet, close } = await openDemo(`Amounts ${locale}`, 'affiliate', {
        locale,
        ...withNumbers(({ rows }) => amounts.forEach((amount, at) => {
          rows[at].revenue = amount;
          // A currency that Intl would cut the decimals of.
          rows[at].currency = 'JPY';
        })),
      });
      assert.deepEqual((await page.locator('tbody [data-key=revenue]').allTextContents()).slice(0, 4), spelling);
      const [{ date: { id } }] = body.rows;
      const wanted = new Intl.DateTimeFormat(locale, { weekday: 'short', year: 'numeric', month: 'short', day: 'numeric', timeZone: 'UTC' }).format(Date.parse(id));
      assert.equal(await page.locator('tbody th bdi').first().innerText(), wanted);
      isQuiet();
      await close();
    });
  }
});

test('what is compared stands beside it with an arrow and in words, exactly', async () => {
  const { page, isQuiet, close } = await openDemo('Compared', 'admin', withNumbers(({ rows, query: { compare } }) => {
    if (!compare) return;
    Object.assign(rows[0].previous, { clicks: 1000, revenue: '0', payout: null, cost: '10', profit: '0.000000' });
    Object.assign(rows[0].change, { clicks: '-0.250000', revenue: null, payout: null, cost: '12.345678', profit: '0.000000' });
  }));
  await page.getByLabel('Compare with').selectOption('previous_week');
  const { url, body } = await pull(page);
  assert.equal(query(url).compare, 'previous_week');
  const said = (key) => page.locator('tbody tr').first().locator('td').nth(1 + body.columns.filter(({ kind }) => kind === 'metric').findIndex((column) => column.key === key)).locator('.change').innerText();
  assert.equal(await said('clicks'), '▼ down 25% from 1,000');
  assert.equal(await said('cost'), '▲ up 1,234.5678% from 10');
  assert.equal(await said('profit'), '= the same: 0.000000');
  assert.equal(await said('revenue'), 'before: 0');
  assert.equal(await said('payout'), 'before: not known');
  assert.match(await page.locator('.asked').innerText(), new RegExp(`compared with ${day(body.query.compare.from)} – ${day(body.query.compare.to)}`));
  const [total] = body.totals;
  const card = page.locator('.total').first().locator('[data-total=clicks] .change');
  assert.match(await card.innerText(), new RegExp(`from ${spelled(total.previous.clicks)}$`));
  assert.equal(await page.locator('.legend li').count(), 2);
  assert.equal(await page.locator('.picture .then path').count(), 1);
  isQuiet();
  await close();
});

test('the chart draws the chosen metric over every day, breaks where nothing is known, and reads out exact values', async () => {
  const { page, first: { body }, isQuiet, close } = await openDemo('Drawn', 'admin', withNumbers((json) => {
    const mine = json.rows.filter(({ currency }) => currency === json.totals[0].currency);
    if (mine.length < 5) return;
    mine[2].revenue = null;
    mine[4].revenue = '12345678901234567890.123456';
  }));
  const { currency } = body.totals[0];
  const rows = body.rows.filter((row) => row.currency === currency);
  assert.equal(rows.length, 7);
  assert.equal(await page.locator('#chart-title').innerText(), `Revenue, ${currency}`);
  assert.equal(await page.locator('.picture .now path').count(), 2, 'two runs around the day that is not known');
  assert.equal(await page.locator('.picture .now circle').count(), 6);
  const says = await page.locator('.picture svg').getAttribute('aria-label');
  assert.match(says, new RegExp(`most 12,345,678,901,234,567,890.123456 ${currency} at ${day(rows[4].date.id)}`));
  const slider = page.getByRole('slider');
  const readings = [];
  for (let at = 0; at < 7; at++) {
    await slider.fill(String(at));
    readings.push(await slider.getAttribute('aria-valuetext'));
  }
  assert.deepEqual(readings, rows.map(({ date, revenue }) => `${day(date.id)}: ${revenue === null ? 'not known' : `${spelled(revenue)} ${currency}`}`));
  await page.getByLabel('Metric of the chart').selectOption('clicks');
  assert.equal(await page.locator('#chart-title').innerText(), `Clicks, ${currency}`);
  assert.match(page.url(), /[?&]chart=clicks/);
  await page.getByLabel('Currency of the chart').selectOption(body.totals[1].currency);
  assert.equal(await page.locator('#chart-title').innerText(), `Clicks, ${body.totals[1].currency}`);

  // Rows that are more than days have a chart of their days when it is asked for.
  await tick(page, 'Country');
  await pull(page);
  assert.equal(await page.locator('.picture').count(), 0);
  const [response] = await Promise.all([
    page.waitForResponse((response) => response.url().includes('/stats?')),
    page.getByRole('button', { name: 'Draw a chart by Date' }).click(),
  ]);
  assert.equal(query(response.url()).group_by, 'date');
  await page.locator('.picture svg').waitFor();
  assert.equal(await page.locator('#chart-title').innerText(), `Clicks, ${currency}`);
  isQuiet();
  await close();
});

test('weeks, months and sub-ids are there, and what the range cuts says so', async () => {
  const { body: { id } } = await api(service, 'POST', '/connections', { name: 'Cycles', platform: 'demo' });
  const { page, answer, isQuiet, close } = await openQuestion(`connection=${id}&group_by=month,sub1&from=2026-10-15&to=2026-11-10&timezone=UTC&limit=1000`);
  assert.deepEqual(answer.body.query.group_by, ['month', 'sub1']);
  const cells = await page.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].slice(0, 2).map((cell) => cell.innerText)));
  assert.ok(cells.some(([month]) => /^October 2026\s*in part$/.test(month)), JSON.stringify(cells[0]));
  assert.ok(cells.some(([, sub]) => sub === 'without one'), JSON.stringify(cells.slice(0, 5)));
  assert.ok((await page.locator('thead').innerText()).includes('Creative'));
  isQuiet();
  await close();
});

test('no grouping at all is one row a currency', async () => {
  const { body: { id } } = await api(service, 'POST', '/connections', { name: 'Undivided', platform: 'demo' });
  const { page, answer, isQuiet, close } = await openQuestion(`connection=${id}&preset=yesterday&timezone=UTC`);
  assert.deepEqual(answer.body.query.group_by, []);
  assert.deepEqual(await page.locator('tbody th').allInnerTexts(), answer.body.totals.map(() => 'All'));
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

test('integrity is said in words, whatever it is', async (context) => {
  const none = { checked: false, against: 'none', matches: null, detail: null };
  for (const [integrity, says] of [
    [none, /The platform gives no totals of its own/],
    [{ checked: true, against: 'same_source', matches: true, detail: null }, /total of the same report/],
    [{ checked: true, against: 'independent', matches: false, detail: 'Clicks are 3 fewer.' }, /own totals differ. Clicks are 3 fewer\./],
    [{ ...none, previous: { checked: true, against: 'independent', matches: true, detail: null } }, /Days compared with: The rows add up/],
  ]) {
    await context.test(String(says), async () => {
      const { page, id, isQuiet, close } = await openDemo(`Integrity ${says.source}`.slice(0, 60), 'admin', withNumbers((json) => { json.integrity = integrity; }));
      assert.match(await page.locator('#stats-answer').innerText(), says);
      await api(service, 'DELETE', `/connections/${id}`);
      isQuiet();
      await close();
    });
  }
});

test('the file is the one that the service makes, under its name, and the link is copied without a token', async () => {
  const { page, isQuiet, close } = await openDemo('Filed', 'admin', { permissions: ['clipboard-read', 'clipboard-write'] });
  for (const [button, start] of [['Download CSV', '"date_id"'], ['CSV for Excel', '\ufeff"date_id"']]) {
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: button }).click()]);
    assert.match(file.suggestedFilename(), /^[Ff]iled.*\.csv$/);
    const text = await readFile(await file.path(), 'utf8');
    assert.ok(text.startsWith(start), text.slice(0, 40));
    assert.equal(text.trim().split('\n').length, 1 + (await page.locator('tbody tr').count()));
  }
  await page.getByRole('button', { name: 'Copy link' }).click();
  await page.getByText('The link is copied.').waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied, page.url());
  assert.ok(!copied.includes(service.token) && copied.includes('group_by=date'));
  isQuiet();
  await close();
});

test('the same question is answered from what is kept, and the platform is asked again when that is wanted', async () => {
  const { page, isQuiet, close } = await openDemo('Kept');
  const says = page.locator('#stats-answer > p.quiet');
  assert.match(await says.innerText(), /^Fetched /);
  await pull(page);
  assert.match(await says.innerText(), /^Kept since /);
  const { url } = await answered(page, () => page.getByRole('button', { name: 'Ask the platform again' }).click());
  assert.equal(query(url).fresh, 'true');
  assert.match(await says.innerText(), /^Fetched /);
  isQuiet();
  await close();
});

test('going back asks the question before', async () => {
  const { page, isQuiet, close } = await openDemo('Before');
  await tick(page, 'Country');
  await pull(page);
  const { url } = await answered(page, () => page.goBack());
  assert.equal(query(url).group_by, 'date');
  assert.equal(await page.getByRole('checkbox', { name: 'Country', exact: true }).isChecked(), false);
  isQuiet();
  await close();
});

test('another connection is chosen in the form, and asked when that is wanted', async () => {
  const { page, isQuiet, close } = await openDemo('First of two');
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

test('a thousand rows are drawn in slices, between which the page answers', async () => {
  const { body: { id } } = await api(service, 'POST', '/connections', { name: 'A thousand', platform: 'demo' });
  const slices = { prepare: (page) => page.addInitScript(() => {
    globalThis.slices = [];
    new MutationObserver((changes) => {
      const rows = changes.flatMap(({ target, addedNodes }) => (target.nodeName === 'TBODY' ? [...addedNodes] : []));
      if (rows.length > 0) globalThis.slices.push(rows.length);
    }).observe(document, { childList: true, subtree: true });
  }) };
  const { page, answer, isQuiet, close } = await openQuestion(`connection=${id}&group_by=date,affiliate,country&preset=this_year&timezone=UTC&limit=1000`, slices);
  assert.equal(answer.body.rows.length, 1000);
  const seen = await page.evaluate(() => globalThis.slices);
  assert.equal(seen.reduce((sum, rows) => sum + rows, 0), 900, 'the first slice comes with the table itself');
  assert.ok(Math.max(...seen) <= 100, JSON.stringify(seen));
  assert.deepEqual(await table(page), expected(answer.body));
  isQuiet();
  await close();
});

test('a question that cannot be answered is refused at its field', async () => {
  const { page, isQuiet, close } = await openDemo('Wrong');
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
