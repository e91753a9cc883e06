// Numbers, days and times in the browser's language. Amounts are exact: their text is never read as a binary float, and
// never rounded, which Intl does with the decimals of currencies.

const whole = new Intl.NumberFormat();
const DIGITS = [...'0123456789'].map((digit) => whole.format(Number(digit)));
const POINT = new Intl.NumberFormat().formatToParts(1.5).find(({ type }) => type === 'decimal').value;
const [BEFORE_NEGATIVE, AFTER_NEGATIVE] = sidesOf(new Intl.NumberFormat().formatToParts(-1));
const [BEFORE_PERCENT, AFTER_PERCENT] = sidesOf(new Intl.NumberFormat(undefined, { style: 'percent' }).formatToParts(1));

/** What stands before and behind the digits. */
function sidesOf(parts) {
  const at = parts.findIndex(({ type }) => type === 'integer');
  const text = (some) => some.map(({ value }) => value).join('');
  return [text(parts.slice(0, at)), text(parts.slice(at + 1))];
}

const inDigits = (text) => text.replace(/\d/g, (digit) => DIGITS[Number(digit)]);

/** A decimal text in its parts. */
function parse(text) {
  const [, sign, integer, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(text));
  return { isNegative: sign === '-', integer, fraction };
}

function compose({ isNegative, integer, fraction }) {
  const digits = whole.format(BigInt(integer)) + (fraction === '' ? '' : POINT + inDigits(fraction));
  return isNegative ? BEFORE_NEGATIVE + digits + AFTER_NEGATIVE : digits;
}

/** A decimal text with the separators of the browser's language, and every digit that it has. */
export const decimal = (text) => compose(parse(text));

/** How many digits stand behind the point. */
export const fractionDigits = (text) => parse(text).fraction.length;

/** What a number lacks to have so many digits behind the point: it takes the room of them. */
export function room(text, most) {
  const { fraction } = parse(text);
  const point = most > 0 && fraction === '' ? POINT : '';
  return point + inDigits('0'.repeat(most - fraction.length));
}

/** A ratio such as `0.123400` as percent, exactly: the point moves by two places. Its sign is left out. */
export function percentOf(ratio) {
  const { integer, fraction } = parse(ratio);
  const digits = integer + fraction.padEnd(2, '0').slice(0, 2);
  const rest = fraction.slice(2).replace(/0+$/, '');
  return BEFORE_PERCENT + compose({ isNegative: false, integer: digits, fraction: rest }) + AFTER_PERCENT;
}

/** Of two decimal texts: less than, equal to or greater than nothing. */
export function signOf(text) {
  const { isNegative, integer, fraction } = parse(text);
  if (/^0*$/.test(integer + fraction)) return 0;
  return isNegative ? -1 : 1;
}

/** A number for drawing only: how high a point stands, never what is written beside it. */
export const approximately = (text) => Number(text);

const short = new Intl.NumberFormat(undefined, { notation: 'compact', maximumSignificantDigits: 3 });
/** The label of a scale. */
export const scale = (number) => short.format(number);

export const count = (number) => whole.format(number);

const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'short', year: 'numeric', month: 'short', day: 'numeric', timeZone: 'UTC' });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', timeZone: 'UTC' });
const MONTH = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'long', timeZone: 'UTC' });
const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/** A local day such as `2026-11-16`, whatever zone it is of. */
export const day = (text) => DAY.format(new Date(`${text}T00:00:00Z`));
export const dayOfYear = (text) => DAY_OF_YEAR.format(new Date(`${text}T00:00:00Z`));
const month = (text) => MONTH.format(new Date(`${text}-01T00:00:00Z`));

/** A day, a month, or what else stands as a value in such a column. */
export function dayOrMonth(text) {
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return day(text);
  return /^\d{4}-\d{2}$/.test(text) ? month(text) : text;
}

/** A moment in the browser's own zone. */
export const moment = (text) => TIME.format(new Date(text));

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
const STEPS = [['day', 86_400], ['hour', 3_600], ['minute', 60]];

/** How long ago, or in how long, in the largest unit that fits. */
export function fromNow(text) {
  const seconds = (new Date(text) - Date.now()) / 1_000;
  const [unit, length] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? ['second', 1];
  return relative.format(Math.trunc(seconds / length), unit);
}

/** In how many days a date is over, in UTC as the service counts it. */
export function daysUntil(date) {
  const today = new Date().toISOString().slice(0, 10);
  return relative.format(Math.round((new Date(date) - new Date(today)) / 86_400_000), 'day');
}
