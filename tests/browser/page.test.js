// The console as a page: for the keyboard, for every eye and every width, and safe with what it is sent.

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, open } from './support/browser.js';
import { act, add, api, choose, control, fill, item, openAdd, openConsole, openStats, pull, remove, save, signIn } from './support/console.js';
import { startService, startTrackers } from './support/processes.js';

/** Where CI finds what the page looked like. */
const SHOTS = fileURLToPath(new URL('../../target/browser/', import.meta.url));
const AXE = fileURLToPath(new URL('node_modules/axe-core/axe.min.js', import.meta.url));

let browser;
let service;
let trackers;

before(async () => {
  await mkdir(SHOTS, { recursive: true });
  browser = await launch();
  trackers = await startTrackers();
  service = await startService(trackers.environment);
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await trackers?.stop();
});

const address = () => `${service.url}/console/`;
const openPage = (options = {}) => open(browser, address(), { origins: [service.url], ...options });

test('the address of the service itself leads to the console', async () => {
  const { page, isQuiet, close } = await open(browser, `${service.url}/`, { origins: [service.url] });
  assert.equal(page.url(), address());
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  isQuiet();
  await close();
});

test('the token of the start-up log is off the address bar at once, stays in the tab, and goes when it is asked to', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  const kept = () => page.evaluate(async () => ({
    address: location.href, length: history.length, state: history.state, local: localStorage.length, cookie: document.cookie,
    databases: (await indexedDB.databases()).length, caches: (await caches.keys()).length, session: { ...sessionStorage },
  }));
  const { address: seen, session, ...rest } = await kept();
  assert.ok(!seen.includes(service.token), seen);
  assert.deepEqual(session, { token: service.token });
  assert.deepEqual(rest, { length: rest.length, state: null, local: 0, cookie: '', databases: 0, caches: 0 });
  await page.reload();
  await page.locator('#usage:not(:empty)').waitFor();
  // Another address with a token, pasted into the open tab.
  await page.evaluate((token) => { location.hash = `#token=${token}`; }, service.token);
  await page.waitForFunction(() => !location.href.includes('token='));
  await page.goBack().catch(() => {});
  assert.ok(!page.url().includes(service.token));
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  assert.deepEqual((await kept()).session, {});
  await page.reload();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  isQuiet();
  await close();
});

test('a wrong token is a problem in words, and so is one that is refused later', async () => {
  const { page, isQuiet, close } = await openPage();
  await signIn(page, 'nonsense');
  await page.locator('#token-problem .problem').waitFor();
  assert.match(await page.locator('#token-problem').innerText(), /unauthorized · request [0-9a-f-]{36}/);
  assert.ok(!(await page.locator('#opened').isVisible()));
  await signIn(page, service.token);
  await page.locator('#usage:not(:empty)').waitFor();
  assert.equal(await page.locator('#token-problem').innerText(), '');
  await page.evaluate(() => sessionStorage.setItem('token', 'expired'));
  await page.getByRole('link', { name: 'Events' }).click();
  await page.locator('#token-problem .problem').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  isQuiet(['401 /api/v1/platforms', '401 /api/v1/events']);
  await close();
});

test('a token that may not read connections gets that answer from the service, in every view', async () => {
  const scoped = await service.mint(['--org', 'dev', '--plan', 'pro', '--scope', 'stats:read']);
  const { page, isQuiet, close } = await open(browser, `${address()}#token=${scoped}`, { origins: [service.url] });
  await page.locator('#connections-problem .problem').getByText('forbidden').waitFor();
  await page.getByRole('link', { name: 'Events' }).click();
  await page.locator('#events-problem .problem').getByText('forbidden').waitFor();
  await page.getByRole('link', { name: 'Statistics' }).click();
  await page.locator('#stats-outcome .problem').getByText('forbidden').waitFor();
  isQuiet(['403 /api/v1/connections', '403 /api/v1/usage', '403 /api/v1/events', '403 /api/v1/connections']);
  await close();
});

test('a service that is away is told from one that refuses', async () => {
  const { page, close } = await openConsole(browser, service);
  await page.context().setOffline(true);
  await page.getByRole('link', { name: 'Events' }).click();
  await page.locator('#events-problem .problem').getByText('No answer').waitFor();
  await page.context().setOffline(false);
  await page.getByRole('link', { name: 'Connections' }).click();
  await page.locator('#usage:not(:empty)').waitFor();
  await close();
});

test('a key that was sent is nowhere any more: not in the page, not in what it stores, not in its history or memory', async () => {
  const { body, wrong_credentials: wrong } = trackers.connections.find(({ body }) => Object.keys(body.credentials).length > 1);
  const { page, close } = await openConsole(browser, service);
  const session = await page.context().newCDPSession(page);
  const whole = async () => {
    const parts = [];
    session.on('HeapProfiler.addHeapSnapshotChunk', ({ chunk }) => parts.push(chunk));
    await session.send('HeapProfiler.collectGarbage');
    await session.send('HeapProfiler.takeHeapSnapshot', { reportProgress: false });
    const inputs = await page.locator('input').evaluateAll((nodes) => nodes.map((node) => node.value));
    const kept = await page.evaluate(() => [document.documentElement.outerHTML, JSON.stringify({ ...sessionStorage }), JSON.stringify({ ...localStorage }), JSON.stringify(history.state), location.href]);
    session.removeAllListeners('HeapProfiler.addHeapSnapshotChunk');
    return { heap: parts.join(''), page: [...inputs, ...kept].join('\n') };
  };
  await openAdd(page);
  const marker = 'a-canary-in-a-field';
  await page.evaluate(() => { globalThis.kept = [['a', 'canary', 'in', 'memory'].join('-')]; });
  await fill(page, { ...body, credentials: Object.fromEntries(Object.keys(body.credentials).map((key) => [key, marker])) });
  const before = await whole();
  assert.ok(before.page.includes(marker) && before.heap.includes('a-canary-in-memory'), 'the search finds what is there');

  await fill(page, { ...body, credentials: wrong });
  await save(page);
  await page.locator('#form-outcome .verification').waitFor();
  const secrets = new Set([...Object.values(wrong), ...Object.values(body.credentials)]);
  const refused = await whole();
  for (const secret of Object.values(wrong)) {
    assert.ok(!refused.page.includes(secret), 'after a refusal');
    assert.ok(!refused.heap.includes(secret), 'in memory after a refusal');
  }

  await fill(page, body);
  await save(page);
  await page.locator('#form-outcome .done').waitFor();
  const saved = await whole();
  for (const secret of secrets) {
    assert.ok(!saved.page.includes(secret), 'after saving');
    assert.ok(!saved.heap.includes(secret), 'in memory after saving');
  }
  await remove(page, body.name);
  await close();
});

test('the keyboard alone signs in, adds a connection, pulls its statistics and deletes it', async () => {
  const { page, isQuiet, close } = await openPage();
  const { keyboard } = page;
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
  const tabTo = async (selector) => {
    for (let steps = 0; steps < 80; steps++) {
      if (await page.evaluate((selector) => document.activeElement.matches(selector), selector)) return;
      await keyboard.press('Tab');
    }
    assert.fail(`Tab does not reach ${selector}`);
  };
  const type = async (selector, text) => {
    await tabTo(selector);
    await keyboard.press('Control+A');
    await keyboard.type(text);
  };

  await type('[name=token]', service.token);
  await keyboard.press('Enter');
  await page.locator('#usage:not(:empty)').waitFor();
  await tabTo('#add-button');
  await keyboard.press('Enter');
  assert.equal(await focused(), 'Add a connection');
  await tabTo('[name=platform]');
  await keyboard.press('Space');
  await keyboard.press('ArrowUp');
  assert.equal(await page.locator('[name=platform]:checked').getAttribute('value'), 'demo');
  await tabTo('[name=connection_type]');
  await keyboard.press('ArrowDown');
  await type('[name=name]', 'By keys');
  await keyboard.press('Enter');
  await item(page, 'By keys').waitFor();
  assert.match(await item(page, 'By keys').innerText(), /Demo · Affiliate Portal/);
  assert.equal(await focused(), 'Add a connection');

  await page.locator('#add-button').focus();
  await tabTo('[aria-label="Statistics: By keys"]');
  await keyboard.press('Enter');
  await page.locator('#stats-answer tbody tr').first().waitFor();
  assert.equal(await focused(), 'Statistics of By keys');
  await tabTo('#stats-form summary');
  await keyboard.press('Enter');
  await tabTo('[aria-label="Filter to add"]');
  await keyboard.type('Country');
  await keyboard.press('Tab');
  await keyboard.press('Enter');
  await page.locator('.filter').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.dataset.pointer), '/filter[country]');
  await tabTo('.values input');
  await keyboard.press('Space');
  assert.equal(await page.locator('.chips li').count(), 1);
  await tabTo('#stats-form .primary');
  await keyboard.press('Enter');
  await page.waitForURL(/filter%5Bcountry%5D/);
  await page.locator('#stats-answer tbody tr').first().waitFor();
  await tabTo('.chart input[type=range]');
  const before = await page.locator('.chart input[type=range]').getAttribute('aria-valuetext');
  await keyboard.press('ArrowLeft');
  assert.notEqual(await page.locator('.chart input[type=range]').getAttribute('aria-valuetext'), before);

  await page.locator('nav a').first().focus();
  await keyboard.press('Enter');
  await item(page, 'By keys').waitFor();
  await tabTo('[aria-label="Delete: By keys"]');
  await keyboard.press('Enter');
  assert.equal(await focused(), 'Keep', 'what destroys nothing comes first');
  await keyboard.press('Escape');
  assert.equal(await focused(), 'Delete: By keys');
  await keyboard.press('Enter');
  await tabTo('#delete-dialog .danger');
  await keyboard.press('Enter');
  await item(page, 'By keys').waitFor({ state: 'detached' });
  isQuiet();
  await close();
});

/** Shows the states of the console one after another; `look` gets the name of each. */
async function everyState(page, look) {
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await look('sign-in');
  await signIn(page, 'nonsense');
  await page.locator('#token-problem .problem').waitFor();
  await look('refused-token');
  await signIn(page, service.token);
  await page.locator('.empty').waitFor();
  await look('first-run');
  await page.getByRole('link', { name: 'Events' }).click();
  await page.locator('#events-problem .empty').waitFor();
  await look('no-events');
  await page.getByRole('link', { name: 'Statistics' }).click();
  await page.locator('#stats-outcome .empty').waitFor();
  await look('no-statistics');
  await page.getByRole('link', { name: 'Connections' }).click();
  await page.locator('#connections-problem .empty').waitFor();
  await openAdd(page);
  for (const platform of await page.locator('#connection-form input[name=platform]').evaluateAll((nodes) => nodes.map((node) => node.value))) {
    await choose(page, platform);
    await look(`add-${platform}`);
  }
  await choose(page, 'affise');
  await save(page);
  await look('add-incomplete');
  const { body, wrong_credentials: wrong } = trackers.connections.find(({ body }) => body.platform === 'affise' && body.connection_type === 'affiliate');
  await fill(page, { ...body, connection_type: 'admin' });
  await save(page);
  await page.locator('.choice.wrong').waitFor();
  await look('add-wrong-portal');
  await fill(page, { ...body, credentials: wrong });
  await save(page);
  await page.locator('.verification.failed').waitFor();
  await look('add-wrong-key');
  await fill(page, body);
  await save(page);
  await page.locator('#form-outcome .done').waitFor();
  await look('added');
  await act(page, 'Edit', body.name);
  await control(page, '/name').waitFor();
  await look('edit');
  await add(page, { name: 'Out of order', platform: 'demo', settings: { scenario: 'rejected_key' } });
  assert.equal((await openStats(page, 'Out of order')).status, 424);
  await look('statistics-refused');
  await page.getByRole('link', { name: 'Connections', exact: true }).click();
  await item(page, 'Out of order').locator('.badge.failing').waitFor();
  await look('connections');
  await act(page, 'Verify', body.name);
  await item(page, body.name).locator('.verification').waitFor();
  await look('verified');
  await act(page, 'Delete', body.name);
  await page.locator('#delete-users > p:not(.busy)').waitFor();
  await look('delete');
  await page.getByRole('button', { name: 'Keep' }).click();
  await page.getByRole('link', { name: 'Events' }).click();
  await page.locator('#events > li').first().waitFor();
  await look('events');
  await page.getByRole('link', { name: 'Connections' }).click();
  await add(page, { name: 'Slow one', platform: 'demo', settings: { scenario: 'slow' } });
  await page.getByRole('link', { name: 'Statistics: Slow one' }).click();
  await page.locator('#stats-outcome .busy').getByText(/[1-9] s/).waitFor();
  await look('statistics-loading');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('link', { name: 'Connections' }).click();
  await add(page, { name: 'Statistics to look at', platform: 'demo' });
  await openStats(page, 'Statistics to look at');
  await page.locator('.picture svg').waitFor();
  await look('statistics');
  for (const summary of await page.locator('summary').all()) await summary.click();
  await page.getByLabel('Compare with').selectOption('previous_week');
  await page.getByRole('checkbox', { name: 'Affiliate', exact: true }).check();
  await page.getByLabel('Filter to add').selectOption('country');
  await page.getByRole('button', { name: 'Add filter' }).click();
  await page.locator('.values input').first().check();
  await pull(page);
  await look('statistics-compared');
  await page.getByRole('button', { name: /^Draw a chart/ }).click();
  await page.locator('.picture svg').waitFor();
  await look('statistics-charted');
  await page.getByLabel('Name or id contains').fill('nothing is called so');
  await pull(page);
  await look('statistics-empty');
}

const PROVOKED = ['401 /api/v1/platforms', '422 /api/v1/connections', '422 /api/v1/connections', '424 /api/v1/connections/{id}/stats'];

/** A console of its own, in which nothing has happened yet. */
async function inFreshService(options, work, provoked = PROVOKED) {
  const shared = service;
  service = await startService(trackers.environment);
  try {
    const { page, isQuiet, close } = await openPage(options);
    await work(page);
    isQuiet(provoked);
    await close();
  } finally {
    await service.stop();
    service = shared;
  }
}

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing serious in any state of the console: ${colorScheme}`, async () => {
    const axe = await readFile(AXE, 'utf8');
    await inFreshService({ colorScheme, viewport: { width: 1280, height: 900 } }, async (page) => {
      const session = await page.context().newCDPSession(page);
      const found = [];
      let looked = 0;
      await everyState(page, async (state) => {
        looked += 1;
        // Past the page's policy, which lets no script in that is not its own.
        await session.send('Runtime.evaluate', { expression: `if (!window.axe) { ${axe} }` });
        const { result } = await session.send('Runtime.evaluate', {
          expression: `axe.run(document, { resultTypes: ['violations'] }).then(({ violations, passes }) => JSON.stringify({ passes: passes.length, violations }))`,
          awaitPromise: true,
          returnByValue: true,
        });
        const { passes, violations } = JSON.parse(result.value);
        assert.ok(passes > 5, `${state}: axe looked at something`);
        for (const { id, impact, nodes } of violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))) {
          found.push(`${state}: ${impact} ${id} ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
        }
        await page.screenshot({ path: `${SHOTS}${state}-${colorScheme}.png`, fullPage: true });
      });
      assert.deepEqual(found, []);
      assert.ok(looked >= 25, `${looked} states`);
    });
  });
}

test('the picture of the README is one of the console', async () => {
  await inFreshService({ viewport: { width: 1240, height: 1000 }, locale: 'en-US', timezoneId: 'Europe/Berlin' }, async (page) => {
    await signIn(page, service.token);
    await page.locator('.empty').waitFor();
    const { body: { id } } = await api(service, 'POST', '/connections', { name: 'Demo', platform: 'demo' });
    const question = `connection=${id}&group_by=date&preset=last_14_days&timezone=Europe/Berlin&compare=previous_period&metrics=clicks,conversions,revenue,payout,profit,epc`;
    await page.evaluate((hash) => { location.hash = hash; }, `#statistics?${question}`);
    await page.locator('.picture svg').waitFor();
    await page.locator('#stats-answer tbody tr').nth(20).waitFor();
    const { y } = await page.locator('#stats-answer').boundingBox();
    await page.evaluate((top) => scrollTo(0, top - 16), y);
    await page.screenshot({ path: `${SHOTS}console.png` });
  }, []);
  // The one that is committed is a copy of such a picture.
  const kept = await readFile(new URL('../../docs/console.png', import.meta.url));
  assert.deepEqual([kept.readUInt32BE(16), kept.readUInt32BE(20)], [1240, 1000]);
  assert.ok(kept.length < 150_000, `${kept.length} bytes`);
});

test('every control has a name, every id is unique, and nothing is wider than a telephone', async () => {
  await inFreshService({ viewport: { width: 390, height: 844 } }, (page) => everyState(page, async (state) => {
    const faults = await page.evaluate(() => {
      const all = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility());
      const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
      return {
        nameless: all('input, select').filter((node) => !node.labels[0]?.textContent.trim() && !node.getAttribute('aria-label')).map((node) => node.outerHTML),
        mute: all('button').filter((node) => !node.textContent.trim()).map((node) => node.outerHTML),
        repeated: ids.filter((id, place) => ids.indexOf(id) !== place),
        dangling: [...document.querySelectorAll('[aria-describedby], [aria-labelledby]')]
          .flatMap((node) => `${node.getAttribute('aria-describedby') ?? ''} ${node.getAttribute('aria-labelledby') ?? ''}`.trim().split(/ +/))
          .filter((id) => !document.getElementById(id)),
        tooWide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      };
    });
    assert.deepEqual(faults, { nameless: [], mute: [], repeated: [], dangling: [], tooWide: 0 }, state);
    await page.screenshot({ path: `${SHOTS}${state}-phone.png`, fullPage: true });
  }));
});

test('what it is sent is text and never markup', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  const name = '<img src=x onerror="document.title=1"><b>bold</b>';
  await add(page, { name, platform: 'demo' });
  await openStats(page, name);
  assert.equal(await page.locator('#stats-title').textContent(), `Statistics of ${name}`);
  await page.getByRole('link', { name: 'Connections' }).click();
  await act(page, 'Delete', name);
  assert.ok((await page.locator('#delete-text').textContent()).startsWith(name));
  await page.locator('#delete-dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('heading', { name }).waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'Events' }).click();
  await page.locator('#events li').first().getByText(name).waitFor();
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.title(), 'Events · affzero connections');
  isQuiet();
  await close();
});

test('a name in a script from right to left keeps its own direction and disturbs nothing around it', async () => {
  const { page, isQuiet, close } = await openConsole(browser, service);
  const name = 'واحة 12 (test)';
  await add(page, { name, platform: 'demo' });
  const directions = await page.locator('#connections h3 bdi', { hasText: 'واحة' }).evaluateAll((nodes) => nodes.map((node) => getComputedStyle(node).direction));
  assert.deepEqual(directions, ['rtl']);
  await openStats(page, name);
  await page.getByRole('checkbox', { name: 'Affiliate', exact: true }).check();
  await pull(page);
  const cells = await page.locator('#stats-answer tbody td > bdi').evaluateAll((nodes) => nodes.map((node) => [/[\u0590-\u06ff]/.test(node.textContent), getComputedStyle(node).direction]));
  assert.ok(cells.some(([isRightToLeft]) => isRightToLeft));
  for (const [isRightToLeft, direction] of cells) assert.equal(direction, isRightToLeft ? 'rtl' : 'ltr');
  await api(service, 'DELETE', `/connections/${new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('connection')}`);
  isQuiet();
  await close();
});
