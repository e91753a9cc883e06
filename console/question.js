// A question to statistics: as an object, as parameters of the service, and as a link that carries it.

/** Dimensions of time, whose values follow from the calendar. */
export const TIMES = ['date', 'week', 'month', 'hour'];

const PLAIN = ['preset', 'from', 'to', 'timezone', 'search', 'compare', 'sort', 'limit'];
const OWN = ['connection', 'chart'];

/** The ids of one text: a comma in an id is written `\,`, a backslash `\\`. */
export function splitIds(text) {
  const ids = [''];
  for (const [part, escaped] of text.matchAll(/\\(.)|[^]/g)) {
    if (part === ',') ids.push('');
    else ids[ids.length - 1] += escaped ?? part;
  }
  return ids;
}

const escapeId = (id) => id.replace(/[\\,]/g, '\\$&');

/** The values of a filter: those with an id in one, and the rows without one as a value of its own. */
function filterValues(ids) {
  const some = ids.filter((id) => id !== '');
  return [...(some.length > 0 ? [some.map(escapeId).join(',')] : []), ...(some.length < ids.length ? [''] : [])];
}

/** The parameters of a question, as the service takes them. */
export function parametersOf(question) {
  const pairs = [];
  if (question.group_by.length > 0) pairs.push(['group_by', question.group_by.join(',')]);
  for (const name of PLAIN) if (question[name]) pairs.push([name, question[name]]);
  for (const [key, ids] of Object.entries(question.filters)) for (const value of filterValues(ids)) pairs.push([`filter[${key}]`, value]);
  for (const name of ['min', 'max']) for (const [key, bound] of Object.entries(question[name])) pairs.push([`${name}[${key}]`, bound]);
  if (question.metrics) pairs.push(['metrics', question.metrics.join(',')]);
  return pairs;
}

/** The part of the address that carries a question, for others who may ask it too. It has no token. */
export function linkOf(question) {
  const own = OWN.filter((name) => question[name]).map((name) => [name, question[name]]);
  return `#statistics?${new URLSearchParams([...own, ...parametersOf(question)])}`;
}

const listOf = (text) => (text ? text.split(',') : []);

/** The question of a link. What the link does not say is what is asked by default. */
export function questionOf(parameters, defaults) {
  const question = { ...defaults, filters: {}, min: {}, max: {} };
  const isRange = parameters.has('from') || parameters.has('to');
  if (isRange) delete question.preset;
  for (const name of [...PLAIN, ...OWN]) if (parameters.get(name)) question[name] = parameters.get(name);
  // Other parameters than that of the connection make a whole question, which may group by nothing.
  const isWhole = [...parameters.keys()].some((name) => name !== 'connection');
  if (isWhole) question.group_by = listOf(parameters.get('group_by'));
  if (parameters.has('metrics')) question.metrics = listOf(parameters.get('metrics'));
  for (const [name, value] of parameters) {
    const [, family, key] = /^(filter|min|max)\[(.+)\]$/.exec(name) ?? [];
    if (family === 'filter') question.filters[key] = [...(question.filters[key] ?? []), ...splitIds(value)];
    else if (family) question[family][key] = value;
  }
  return question;
}

/** Whether dimensions are, or can still become, one of the combinations that the catalogue allows. What is filtered counts. */
export function goTogether({ max, only }, grouped, filtered = []) {
  const keys = [...grouped, ...filtered];
  return grouped.length <= max && (only === null || only.some((known) => keys.every((key) => known.includes(key))));
}

/** The same filters over the days, for a chart; `undefined` where the platform has no such report. */
export function overDays(question, type) {
  const time = TIMES.find((key) => type.dimensions.some((dimension) => dimension.key === key));
  if (!time || !goTogether(type.combinations, [time], Object.keys(question.filters))) return undefined;
  return { ...question, group_by: [time], sort: '', search: '', min: {}, max: {}, limit: '1000' };
}
