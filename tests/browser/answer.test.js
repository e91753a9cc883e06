// Answers of statistics in the console: what it shows is what came, digit by digit.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { NAME, launch, open } from './support/browser.js';
import { answered, api, day, expected, pull, spelled, table } from './support/console.js';
import { startService } from './support/processes.js';
import { openDemo, openQuestion, query, tick, withNumbers } from './support/statistics.js';

let browser;
let service;

before(async () => {
  browser = await launch();
  service = await startService();
});

after(async () => {
  await browser?.close();
  await service?.stop();
});

test('all pages together are the whole table, and every currency has its total', async () => {
  const { page, first, isQuiet, close } = await openDemo(browser, service, 'Pages');
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

test('money is every digit that came, decimal points stand in line, and what is unknown is a dash', async () => {
  const { page, first: { body }, isQuiet, close } = await openDemo(browser, service, 'Exact', 'affiliate', withNumbers(({ rows }) => {
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
      const { page, first: { body }, isQuiet, close } = await openDemo(browser, service, `Amounts ${locale}`, 'affiliate', {
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
  const { page, isQuiet, close } = await openDemo(browser, service, 'Compared', 'admin', withNumbers(({ rows, query: { compare } }) => {
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
  const { page, first: { body }, isQuiet, close } = await openDemo(browser, service, 'Drawn', 'admin', withNumbers((json) => {
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
  const { page, answer, isQuiet, close } = await openQuestion(browser, service, `connection=${id}&group_by=month,sub1&from=2026-10-15&to=2026-11-10&timezone=UTC&limit=1000`);
  assert.deepEqual(answer.body.query.group_by, ['month', 'sub1']);
  const cells = await page.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].slice(0, 2).map((cell) => cell.innerText)));
  assert.ok(cells.some(([month]) => /^October 2026\s*partial$/.test(month)), JSON.stringify(cells[0]));
  assert.ok(cells.some(([, sub]) => sub === 'without one'), JSON.stringify(cells.slice(0, 5)));
  assert.ok((await page.locator('thead').innerText()).includes('Creative'));
  isQuiet();
  await close();
});

test('no grouping at all is one row a currency', async () => {
  const { body: { id } } = await api(service, 'POST', '/connections', { name: 'Undivided', platform: 'demo' });
  const { page, answer, isQuiet, close } = await openQuestion(browser, service, `connection=${id}&preset=yesterday&timezone=UTC`);
  assert.deepEqual(answer.body.query.group_by, []);
  assert.deepEqual(await page.locator('tbody th').allInnerTexts(), answer.body.totals.map(() => 'All'));
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
      const { page, id, isQuiet, close } = await openDemo(browser, service, `Integrity ${says.source}`.slice(0, 60), 'admin', withNumbers((json) => { json.integrity = integrity; }));
      assert.match(await page.locator('#stats-answer').innerText(), says);
      await api(service, 'DELETE', `/connections/${id}`);
      isQuiet();
      await close();
    });
  }
});

test('the file is the one that the service makes, under its name, and the link is copied without a token', async () => {
  const { page, isQuiet, close } = await openDemo(browser, service, 'Filed', 'admin', { permissions: ['clipboard-read', 'clipboard-write'] });
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

test('rows of several currencies are told apart by them, also where no amount is asked for', async () => {
  const { body: { id } } = await api(service, 'POST', '/connections', { name: 'Only clicks', platform: 'demo' });
  const { page, answer, isQuiet, close } = await openQuestion(browser, service, `connection=${id}&group_by=date&preset=last_7_days&timezone=UTC&metrics=clicks`);
  assert.ok(answer.body.totals.length > 1);
  assert.deepEqual(await table(page), expected(answer.body));
  assert.deepEqual((await table(page)).head, ['Date', 'Currency', 'Clicks']);
  isQuiet();
  await close();
});

test('where the browser gives no clipboard, the link is shown to be copied', async () => {
  // A plain http origin that is not this machine's own is none that browsers trust with it.
  const origin = service.url.replace('127.0.0.1', NAME);
  const { body: { id } } = await api(service, 'POST', '/connections', { name: 'By hand', platform: 'demo' });
  const { page, isQuiet, close } = await open(browser, `${origin}/console/#token=${service.token}`, { origins: [origin] });
  await page.locator('#usage:not(:empty)').waitFor();
  await answered(page, () => page.evaluate((hash) => { location.hash = hash; }, `#statistics?connection=${id}&group_by=date&preset=yesterday`));
  await page.getByRole('button', { name: 'Copy link' }).click();
  const shown = page.getByLabel('The link to this question');
  assert.equal(await shown.inputValue(), page.url());
  assert.equal(await page.evaluate(() => getSelection().toString() || document.activeElement.value), page.url());
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
  const { page, answer, isQuiet, close } = await openQuestion(browser, service, `connection=${id}&group_by=date,affiliate,country&preset=this_year&timezone=UTC&limit=1000`, slices);
  assert.equal(answer.body.rows.length, 1000);
  const seen = await page.evaluate(() => globalThis.slices);
  assert.equal(seen.reduce((sum, rows) => sum + rows, 0), 900, 'the first slice comes with the table itself');
  assert.ok(Math.max(...seen) <= 100, JSON.stringify(seen));
  assert.deepEqual(await table(page), expected(answer.body));
  isQuiet();
  await close();
});
