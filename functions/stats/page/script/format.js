// Numbers and times.
//
// The files of this folder form one module of the monitoring page, in the order format, api, texts, chart, document,
// events. Only document and events change what the page shows.

// The page is in English, so numbers and times use the user's English locale.
const LOCALE = navigator.languages.find((name) => name.startsWith('en')) ?? 'en-GB';
const DAY_AND_TIME = { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' };
const formatNumber = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 }).format;
const formatTime = new Intl.DateTimeFormat(LOCALE, DAY_AND_TIME).format;
const formatClock = new Intl.DateTimeFormat(LOCALE, { timeStyle: 'medium' }).format;
const formatHour = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit' }).format;
const formatDay = new Intl.DateTimeFormat(LOCALE, { day: 'numeric', month: 'short' }).format;
// A fixed locale, because some write a million as `1m`, which others read as a metre or a minute.
const formatShort = new Intl.NumberFormat('en-US', { notation: 'compact' }).format;

const plural = (count, one, many = `${one}s`) => `${formatNumber(count)} ${count === 1 ? one : many}`;

/** A duration in its largest units, such as `3 days 4 hours`. At most `most` units; below one hour, one unit. */
function duration(seconds, most = seconds < 3_600 ? 1 : 2) {
    const whole = Math.max(0, Math.floor(seconds));
    const units = [['day', 86_400, Infinity], ['hour', 3_600, 24], ['minute', 60, 60], ['second', 1, 60]];
    const parts = units.map(([name, size, wrap]) => [Math.floor(whole / size) % wrap, name]);
    const first = parts.findIndex(([count]) => count > 0);
    if (first < 0) return '0 seconds';
    return parts.slice(first, first + most).filter(([count]) => count > 0)
        .map(([count, name]) => plural(count, name)).join(' ');
}

/** A period of time. The end has a day only if it differs from the day of the start. */
function between(from, to, word) {
    const end = formatDay(from) === formatDay(to) ? formatHour(to) : formatTime(to);
    return formatTime(from) === formatTime(to) ? formatTime(from) : `${formatTime(from)} ${word} ${end}`;
}

const took = (ms) => (ms < 1_000 ? `${formatNumber(ms)} ms` : `${formatNumber(ms / 1_000)} s`);
