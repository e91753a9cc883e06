// The console: who is signed in, and which view is open. Views are addressed behind the #, which is never sent anywhere.

import { forgetToken, hasToken, keepToken, takeTokenFromAddress, whenRefused } from './service.js';
import { catalogue, loadCatalogue } from './catalogue.js';
import { attempt, complain, el, find, waiting } from './draw.js';
import { closeForm } from './form.js';
import { loadConnections, startConnections } from './connections.js';
import { openEvents, startEvents } from './events.js';
import { forgetQuestion, leaveStatistics, openStatistics } from './statistics.js';
import { openWebhooks, startWebhooks } from './webhooks.js';

const problem = find('token-problem');
const tokenForm = find('token-form');

const VIEWS = {
  connections: loadConnections,
  statistics: (parameters) => openStatistics(parameters),
  events: openEvents,
  webhooks: openWebhooks,
};

/** Shows the view that the address names, and moves the focus there unless the page has just been opened. */
function route({ isFirst = false } = {}) {
  const [name, query] = location.hash.slice(1).split(/\?(.*)/s);
  const view = Object.hasOwn(VIEWS, name) ? name : 'connections';
  leaveStatistics();
  if (view !== 'connections') closeForm();
  for (const key of Object.keys(VIEWS)) find(`${key}-view`).hidden = key !== view;
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.view === view) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (!isFirst) find(`${view}-view`).querySelector('h2').focus();
  document.title = `${view.charAt(0).toUpperCase()}${view.slice(1)} · affzero connections`;
  VIEWS[view](new URLSearchParams(query ?? ''));
}

function signedOut(error) {
  forgetToken();
  document.title = 'affzero connections';
  find('opened').hidden = true;
  find('navigation').hidden = true;
  find('signed-out').hidden = false;
  closeForm();
  forgetQuestion();
  problem.replaceChildren();
  if (error) complain(problem, tokenForm, error);
  tokenForm.elements.token.focus();
}

const open = () => attempt(problem, tokenForm, async () => {
  await waiting(problem, 'Opening', loadCatalogue);
  find('list-currencies').replaceChildren(...catalogue.currencies.map(({ code, title }) => el('option', { value: code }, title)));
  find('signed-out').hidden = true;
  find('opened').hidden = false;
  find('navigation').hidden = false;
  route({ isFirst: true });
});

tokenForm.onsubmit = (event) => {
  event.preventDefault();
  const { token } = tokenForm.elements;
  if (!tokenForm.reportValidity()) return;
  keepToken(token.value.trim());
  token.value = '';
  open();
};

find('sign-out').onclick = () => signedOut();
find('list-zones').replaceChildren(...['UTC', ...Intl.supportedValuesOf('timeZone')].map((value) => el('option', { value })));
whenRefused(signedOut);
startConnections();
startEvents();
startWebhooks();
addEventListener('hashchange', () => {
  if (takeTokenFromAddress()) open();
  else if (hasToken() && catalogue) route();
});

takeTokenFromAddress();
if (hasToken()) open();
else signedOut();
