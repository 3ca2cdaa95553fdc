// Numbers and times.
//
// The files of this folder form one module of the monitoring page, in the order format, api, texts, sessions, chart,
// document, reports, users, dialog, events. Only those from document on change what the page shows.

// The page is in English, so numbers and times use the user's English locale.
const LOCALE = navigator.languages.find((name) => name.startsWith('en')) ?? 'en-GB';
const LOCAL_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
// Whether the page shows times in UTC, not in the time zone of the browser.
let isUtc = false;

/** A format of times in the selected time zone. */
function timeFormat(options) {
    const [local, utc] = [undefined, 'UTC'].map((timeZone) => new Intl.DateTimeFormat(LOCALE, { ...options, timeZone }).format);
    return (time) => (isUtc ? utc : local)(time);
}

const HOUR_AND_MINUTE = { hour: '2-digit', minute: '2-digit' };
const DAY_AND_MONTH = { day: 'numeric', month: 'short' };
const formatNumber = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 }).format;
const formatTime = timeFormat({ ...DAY_AND_MONTH, ...HOUR_AND_MINUTE });
const formatClock = timeFormat({ timeStyle: 'medium' });
const formatHour = timeFormat(HOUR_AND_MINUTE);
const formatDay = timeFormat(DAY_AND_MONTH);
const formatLocal = new Intl.DateTimeFormat(LOCALE, { dateStyle: 'medium', timeStyle: 'medium' }).format;
const formatUtc = (time) => `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
// A fixed locale, because some write a million as `1m`, which others read as a metre or a minute.
const formatShort = new Intl.NumberFormat('en-US', { notation: 'compact' }).format;

/** The time that is `minutes` on the clock after the midnight before `time`. */
function afterMidnight(time, minutes) {
    const it = new Date(time);
    return isUtc ? new Date(Date.UTC(it.getUTCFullYear(), it.getUTCMonth(), it.getUTCDate(), 0, minutes))
        : new Date(it.getFullYear(), it.getMonth(), it.getDate(), 0, minutes);
}

/** Time of the value of an input field, in the selected time zone, or null. */
const timeOfInput = (value) => (value ? new Date(isUtc ? `${value}Z` : value) : null);

/** Value of an input field for a time, the reverse of `timeOfInput`. */
function inputOfTime(time) {
    if (!time) return '';
    return new Date(time - (isUtc ? 0 : time.getTimezoneOffset() * 60_000)).toISOString().slice(0, 16);
}

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
