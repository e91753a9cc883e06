// The page of examples/form as a page: for the keyboard, for every eye and every width, and safe with what it is told.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, open } from './support/browser.js';
import { serveFiles } from './support/files.js';
import { FILES, add, choose, item, openForm, openStats, pull, signIn } from './support/form.js';
import { startService } from './support/processes.js';

let browser;
let files;
let service;

before(async () => {
  browser = await launch();
  files = await serveFiles(FILES);
  service = await startService({ CORS_ALLOWED_ORIGINS: files.url });
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await files?.stop();
});

test('the keyboard alone opens the service, adds a connection, pulls its statistics and deletes it', async () => {
  const { page, isQuiet, close } = await open(browser, files.url, { origins: [files.url, service.url] });
  const { keyboard } = page;
  const focused = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
  const tabTo = async (selector) => {
    for (let steps = 0; steps < 40; steps++) {
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

  await type('[name=api]', service.url);
  await type('[name=token]', service.token);
  await keyboard.press('Enter');
  await page.locator('#usage:not(:empty)').waitFor();
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
  assert.equal(await focused(), 'Statistics: By keys');
  await tabTo('#stats-form .primary');
  await keyboard.press('Enter');
  await page.locator('#stats-table table').waitFor();

  await page.locator('#add-button').focus();
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

/** Shows the states of the page one after another. */
async function everyState(page, look) {
  await look();
  for (const platform of await page.locator('#add-form input[name=platform]').evaluateAll((nodes) => nodes.map((node) => node.value))) {
    await choose(page, platform);
    await look();
  }
  await page.getByRole('button', { name: 'Verify and save' }).click();
  await look();
  const name = `Looked at ${Date.now()}`;
  await add(page, { name, platform: 'demo', settings: { scenario: 'down' } });
  await look();
  await openStats(page, name);
  for (const summary of await page.locator('summary').all()) await summary.click();
  await pull(page);
  await look();
  const healthy = `${name}, healthy`;
  await add(page, { name: healthy, platform: 'demo' });
  await openStats(page, healthy);
  await pull(page);
  await look();
  await page.getByRole('button', { name: `Delete: ${healthy}` }).click();
  await look();
  await page.getByRole('button', { name: 'Keep' }).click();
}

for (const colorScheme of ['light', 'dark']) {
  test(`every text stands out from what is behind it: ${colorScheme}`, async () => {
    const { page, isQuiet, close } = await openForm(browser, files, service, { colorScheme });
    await everyState(page, async () => assert.deepEqual(await page.evaluate(faintTexts), []));
    isQuiet(['502 /api/v1/connections/{id}/stats']);
    await close();
  });
}

/** The visible texts whose contrast is below 4.5 (WCAG 2, AA). Runs in the page. */
function faintTexts() {
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [red, green, blue] = color.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length === 3) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    const isIdle = node.closest('.choice')?.querySelector(':disabled');
    if (texts.currentNode.data.trim() === '' || isIdle || !node.checkVisibility({ visibilityProperty: true }) || node.matches('script')) continue;
    const [one, other] = [rgb(getComputedStyle(node).color).slice(0, 3), behind(node)].map(luminance);
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${texts.currentNode.data.trim()}`);
  }
  return faint;
}

test('every control has a name, every id is unique, and nothing is wider than a telephone', async () => {
  const { page, isQuiet, close } = await openForm(browser, files, service, { viewport: { width: 360, height: 740 } });
  await everyState(page, async () => {
    const faults = await page.evaluate(() => {
      const all = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility());
      const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
      return {
        nameless: all('input, select').filter((node) => !node.labels[0]?.textContent.trim()).map((node) => node.outerHTML),
        mute: all('button').filter((node) => !node.textContent.trim()).map((node) => node.outerHTML),
        repeated: ids.filter((id, place) => ids.indexOf(id) !== place),
        dangling: [...document.querySelectorAll('[aria-describedby]')]
          .flatMap((node) => node.getAttribute('aria-describedby').split(' '))
          .filter((id) => !document.getElementById(id)),
        tooWide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      };
    });
    assert.deepEqual(faults, { nameless: [], mute: [], repeated: [], dangling: [], tooWide: 0 });
  });
  isQuiet(['502 /api/v1/connections/{id}/stats']);
  await close();
});

test('what it is told is text and never markup, and the token stays in memory', async () => {
  const { page, isQuiet, close } = await openForm(browser, files, service);
  const name = '<img src=x onerror="document.title=1"><b>bold</b>';
  await add(page, { name, platform: 'demo' });
  await openStats(page, name);
  await pull(page);
  await page.getByRole('button', { name: `Delete: ${name}` }).click();
  assert.ok((await page.locator('#delete-text').textContent()).startsWith(name));
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.title(), 'Connections');
  const kept = await page.evaluate(async () => [localStorage.length, sessionStorage.length, document.cookie, location.search + location.hash, (await indexedDB.databases()).length, (await caches.keys()).length]);
  assert.deepEqual(kept, [0, 0, '', '', 0, 0]);
  await page.reload();
  assert.equal(await page.getByLabel('Token').inputValue(), '');
  isQuiet();
  await close();
});

test('a wrong token is a problem in words', async () => {
  const { page, isQuiet, close } = await open(browser, files.url, { origins: [files.url, service.url] });
  await signIn(page, { url: `${service.url}/`, token: 'nonsense' });
  await page.locator('#service-problem .problem').waitFor();
  assert.match(await page.locator('#service-problem').innerText(), /unauthorized · request [0-9a-f-]{36}/);
  assert.ok(!(await page.locator('main').isVisible()));
  isQuiet(['401 /api/v1/platforms']);
  await signIn(page, service);
  await page.locator('main').waitFor();
  assert.equal(await page.locator('#service-problem').innerText(), '');
  await close();
});

test('an origin that the service does not name is shut out by the browser, and the page says what to do', async () => {
  const closed = await startService({ CORS_ALLOWED_ORIGINS: 'https://app.example.com' });
  try {
    const { page, complaints, close } = await open(browser, files.url, { origins: [files.url, closed.url] });
    await signIn(page, closed);
    await page.locator('#service-problem .problem').waitFor();
    assert.match(await page.locator('#service-problem').innerText(), new RegExp(`CORS_ALLOWED_ORIGINS name ${files.url}`));
    assert.ok(complaints.some((line) => line.includes('blocked by CORS policy')), complaints.join('\n'));
    await close();
  } finally {
    await closed.stop();
  }
});
