// The monitoring page. The first part has pure functions, from responses of the API to the texts that are shown. The
// chart and the document follow, and last the events.

const REFRESH_MS = 30_000;
// Longer than the timeout of API Gateway, 29 seconds. No response comes later.
const REQUEST_TIMEOUT_MS = 40_000;
const CHARTED_RUNS = 48;
// The chart omits dry runs, so 48 runs can need more than one page of 100 reports.
const MOST_PAGES = 3;

// --- Numbers and times --------------------------------------------------------------------

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

/** Extracts the token from pasted text: with `Bearer`, a whole header or `curl` command, quotes or spaces. */
function tokenIn(pasted) {
    // An input field removes line breaks, so there may be no space between the scheme and the token.
    const afterBearer = /(?:^|[\s:'"])bearer\s*([^\s'"]+)/i.exec(pasted)?.[1];
    const token = (afterBearer ?? pasted).replace(/[\s'"]/g, '');
    // A header cannot contain other characters.
    return /^[\x21-\x7e]+$/.test(token) ? token : null;
}

// --- Responses of the API -----------------------------------------------------------------

/** Error of a call. `kind` is `status`, `network`, `timeout` or `unexpected`. */
class CallFailed extends Error {
    constructor(kind, status = 0, reason = '') {
        super(reason || kind);
        Object.assign(this, { kind, status, reason });
    }
}

const hasNumbers = (value, names) => names.every((name) => Number.isFinite(value?.[name]));
const COUNTS = ['sessions_deactivated', 'sessions_deleted', 'refresh_tokens_deleted', 'blacklisted_tokens_deleted'];
const isStatistics = (it) =>
    hasNumbers(it, ['total_sessions', 'active_sessions', 'expired_sessions', 'inactive_sessions']);
const isReport = (it) => hasNumbers(it, [...COUNTS, 'failed']) && !Number.isNaN(Date.parse(it.started_at));
const isPage = (it) => Array.isArray(it?.reports) && it.reports.every(isReport);

/** Client of the API below `base`. Only this closure holds the token. */
function createApi(base) {
    let token = null;

    async function call(method, path, isExpected, signal) {
        const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
        let response, text;
        try {
            response = await fetch(`${location.origin}${base}/sessions/${path}`, {
                method,
                headers: { Authorization: `Bearer ${token}`, Accept: 'application/json' },
                cache: 'no-store',
                credentials: 'omit',
                redirect: 'error',
                referrerPolicy: 'no-referrer',
                signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
            });
            text = await response.text();
        } catch {
            throw new CallFailed(timeout.aborted ? 'timeout' : 'network');
        }
        let answer = null;
        try {
            answer = JSON.parse(text);
        } catch {
            // Not JSON. The status describes a failure, and a success is reported as unexpected below.
        }
        if (!response.ok) {
            const reason = answer?.error ?? answer?.message;
            throw new CallFailed('status', response.status, typeof reason === 'string' ? reason : '');
        }
        if (!isExpected(answer?.data)) throw new CallFailed('unexpected', response.status);
        return answer.data;
    }

    async function reports() {
        const all = [];
        let next = null;
        for (let page = 0; page < MOST_PAGES; page += 1) {
            const cursor = next ? `&cursor=${encodeURIComponent(next)}` : '';
            const answer = await call('GET', `cleanups?limit=100${cursor}`, isPage);
            all.push(...answer.reports);
            next = answer.next;
            if (!next || all.filter((it) => !it.dry_run).length >= CHARTED_RUNS) break;
        }
        return all;
    }

    return {
        use: (given) => { token = given; },
        forget: () => { token = null; },
        hasToken: () => token !== null,
        statistics: () => call('GET', 'stats', isStatistics),
        reports,
        dryRun: (signal) => call('POST', 'cleanup?dry_run=true', isReport, signal),
        cleanUp: () => call('POST', 'cleanup', isReport),
    };
}

const REFUSALS = {
    'Token expired': 'It has expired. Get a new one from your application.',
    'Session expired': 'Your session has expired. Log in to your application again.',
    'Session inactive': 'Your session has ended. Log in to your application again.',
    'Session not found': 'There is no such session. Log in to your application again.',
    'Token revoked': 'It was revoked. Log in to your application again.',
    'Invalid token': 'It may have been cut off, or belong to another system.',
    'Missing bearer token': 'Paste the token as your application gives it.',
};

/** Headline and advice for a failure. `doing` is `read`, `count` (a dry run) or `clean`. */
function failureWords({ kind, status, reason }, doing) {
    const quoted = reason ? `: “${reason}”` : '';
    const again = doing === 'read' ? 'The next try is in 30 seconds.' : 'Try again later.';
    const unknown = 'Whether the cleanup did its work is not known: see the reports before you start another.';
    if (kind === 'network') {
        return ['No connection to the API.', doing === 'clean' ? unknown : again];
    }
    if (kind === 'timeout') {
        return ['The API did not answer in time.', doing === 'clean' ? unknown : again];
    }
    if (kind === 'unexpected') {
        return ['The answer was not one of the API’s.',
            `Something between this page and the API may have answered. ${doing === 'clean' ? unknown : again}`];
    }
    if (status === 401) return [`The API refused the token (401)${quoted}.`, REFUSALS[reason] ?? 'Use another one.'];
    if (status === 403 && reason === 'Forbidden') {
        return doing === 'read'
            ? ['This token may not read the sessions (403).', 'It needs the scope sessions:read or sessions:admin.']
            : ['This token may not clean up (403).', 'A cleanup, and a dry run too, needs the scope sessions:admin. '
                + 'With this token, you can go on reading.'];
    }
    if (status === 429) return [`Too many requests (429)${quoted}.`, `The API takes no more at the moment. ${again}`];
    if (status >= 500) return [`The API failed (${status})${quoted}.`, doing === 'clean' ? unknown : again];
    return [`The API refused the request (${status})${quoted}.`, ''];
}

// --- Texts --------------------------------------------------------------------------------

const deletedBy = (it) => it.sessions_deleted + it.refresh_tokens_deleted + it.blacklisted_tokens_deleted;

/** Text from outside. Bidirectional control characters in it could reorder the text around it. */
const others = (text) => text.replace(/\p{Bidi_Control}/gu, '\ufffd');

function startedBy({ trigger, requested_by: user }) {
    if (trigger === 'schedule') return 'schedule';
    return trigger === 'api' ? others(user ?? 'API') : 'hand';
}

/** Keys of the records that the table rejected, if the report names them. */
const refusedBy = (report) => (report.failed_records ?? []).map(others);

/** Details of a run that need no action. */
function asides(report) {
    const counted = [['reindexed', report.reindexed], ['changed elsewhere', report.changed_elsewhere], ['adopted', report.adopted]]
        .filter(([, count]) => count > 0).map(([name, count]) => `${formatNumber(count)} ${name}`);
    const percent = report.adoption_percent;
    return percent == null ? counted : [...counted, `adoption at ${formatNumber(percent)} % of the table`];
}

/**
 * Outcome of a run, in the same words wherever it is shown. `signs` contains those of `failed`, `attention` (malformed
 * records, which need manual correction) and `incomplete` that apply. `parts` are the words, each with its kind, `also`
 * has the details, and `said` is the whole text.
 */
function outcome(report) {
    const refused = Math.max(report.failed, refusedBy(report).length);
    const failed = Boolean(report.error) || refused > 0;
    const malformed = report.malformed > 0 ? `${formatNumber(report.malformed)} malformed` : '';
    const signs = [[failed, 'failed'], [malformed, 'attention'], [!report.complete, 'incomplete']]
        .filter(([applies]) => applies).map(([, sign]) => sign);
    const ended = report.complete ? 'Complete' : 'Incomplete';
    const failure = `${refused > 0 ? `Failed on ${plural(refused, 'record')}` : 'Failed'}${report.complete ? '' : ', incomplete'}`;
    const parts = failed ? [['failed', failure], ...(malformed ? [['attention', malformed]] : [])]
        : [[signs[0] ?? 'complete', malformed ? `${ended}, ${malformed}` : ended]];
    const also = asides(report);
    return {
        signs,
        parts: parts.map(([kind, words]) => ({ kind, words })),
        also: also.join(', '),
        said: [...parts.map(([, words]) => words), ...also].join(', ').toLowerCase(),
        reason: report.error ?? '',
    };
}

function malformedSentence({ malformed_records: malformed = 0 }) {
    if (malformed === 0) return '';
    return malformed === 1
        ? '1 record cannot be understood, and no cleanup looks at it. The log of a cleanup names it. Correct it, then run the cleanup with adopt.'
        : `${formatNumber(malformed)} records cannot be understood, and no cleanup looks at them. The logs of the cleanups name them. `
            + 'Correct them, then run the cleanup with adopt.';
}

const timeOf = (text) => (typeof text === 'string' ? Date.parse(text) : NaN);
const startOf = (run) => Date.parse(run.started_at);

// DynamoDB updates its item count about every six hours.
const COUNT_AGE_MS = 6 * 3_600_000;

/** Number of items outside the due index, or 0 if the age of DynamoDB's count explains them. */
function unseenItems({ unindexed_items: unindexed, table_items: items }) {
    const many = Number.isFinite(unindexed) && unindexed > 0 && unindexed > (Number.isFinite(items) ? items : 0) / 100;
    return many ? unindexed : 0;
}

/** Sentence about these items, to follow a colon, or an empty string. */
function unseenSentence(statistics) {
    const unseen = unseenItems(statistics);
    if (unseen === 0) return '';
    const [are, them] = unseen === 1 ? ['is', 'it'] : ['are', 'them'];
    return `about ${plural(unseen, 'item')} of this table ${are} on no list, so no cleanup and none of these figures see ${them} `
        + '(DynamoDB’s own count, up to six hours old).';
}

/** Advice about these items. DynamoDB's count shows an adoption only later, so a recent adoption is not advised again. */
function adoptWords(reports, now) {
    const adoption = reports.find((it) => !it.dry_run && it.adopted > 0 && now - startOf(it) < COUNT_AGE_MS);
    if (!adoption) {
        return ['Run the cleanup once with {"adopt": true}.', 'In the console of AWS Lambda: the cleanup function, tab Test. '
            + 'The event {"adopt": true, "dry_run": true} tells first what it would do.'];
    }
    return ['', `A cleanup adopted ${plural(adoption.adopted, 'record')} ${duration((now - startOf(adoption)) / 1_000, 1)} ago; `
        + 'DynamoDB may not have counted them yet.'];
}

/** Answer to “Is a cleanup needed?”, further advice, and whether the answer is a warning. */
function needView(statistics, reports, now) {
    const { expired_sessions: expired, oldest_expired_age_seconds: age } = statistics;
    const unseen = unseenSentence(statistics);
    const [adopt, advice] = unseen ? adoptWords(reports, now) : ['', ''];
    const sentences = [];
    if (expired > 0) {
        sentences.push(expired === 1 ? 'Yes: 1 session has expired and is still active.'
            : `Yes: ${formatNumber(expired)} sessions have expired and are still active.`);
        if (age !== null && age !== undefined) sentences.push(`The oldest expired ${duration(age)} ago.`);
        if (unseen) sentences.push(`Besides, ${unseen}`);
    } else {
        sentences.push(unseen ? `Not known: ${unseen}`
            : 'No: no session waits to be closed. What else is due for deletion, a dry run tells.');
    }
    return { need: [...sentences, adopt].filter(Boolean).join(' '), advice, needed: expired > 0 || unseen !== '' };
}

// Tolerance: schedules are not exact, and a run takes time before its report is stored.
const LATE_MS = 5 * 60_000;

/** Note about the items that a dry run or a cleanup does not see. */
function unseenNote(statistics, reports, now) {
    const unseen = unseenSentence(statistics);
    const [adopt, advice] = adoptWords(reports, now);
    return unseen && `Not counted: ${unseen} ${adopt || advice}`;
}

/** Due time of the next cleanup, as a text and as the end of a sentence about the first cleanup, or null. */
function nextView({ next_cleanup: next }, now) {
    const left = timeOf(next) - now;
    if (Number.isNaN(left)) return null;
    const minutes = duration(Math.round(Math.abs(left) / 60_000) * 60);
    if (left < -LATE_MS) return { words: `late: was due ${minutes} ago`, first: `was due ${minutes} ago`, isLate: true };
    if (left <= 0) return { words: 'due now', first: 'is due now', isLate: false };
    const words = `in ${left > 60_000 ? minutes : 'less than a minute'}`;
    return { words, first: `comes ${words}`, isLate: false };
}

const UNITS = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** Milliseconds between two runs of a `rate(…)` schedule; null for `cron(…)`, which has no fixed period. */
function periodOf(schedule) {
    const [, count, unit] = /^rate\((\d+) (second|minute|hour|day)s?\)$/.exec(schedule ?? '') ?? [];
    return Number(count) > 0 ? count * UNITS[unit] : null;
}

function scheduleWords(schedule) {
    const period = periodOf(schedule);
    if (period === null) return typeof schedule === 'string' ? others(schedule) : '';
    return `every ${duration(period / 1_000).replace(/^1 /, '')}`;
}

function statisticsView(it, reports, now) {
    const last = it.last_cleanup;
    const ago = last && (now - startOf(last)) / 1_000;
    const next = nextView(it, now);
    const unknown = 'Not yet, or its report is gone';
    return {
        ...needView(it, reports, now),
        live: formatNumber(it.active_sessions - it.expired_sessions),
        expired: formatNumber(it.expired_sessions),
        isExpired: it.expired_sessions > 0,
        inactive: formatNumber(it.inactive_sessions),
        malformed: malformedSentence(it),
        total: formatNumber(it.total_sessions),
        totalNote: unseenItems(it) > 0 ? 'sessions on the lists' : 'sessions in the table',
        oldest: it.oldest_expired_age_seconds == null ? 'None' : duration(it.oldest_expired_age_seconds),
        oldestNote: it.oldest_expired_age_seconds == null ? '' : 'past its end',
        last: last?.started_at ?? null,
        lastNote: last ? `${ago < 1 ? 'just now' : `${duration(ago, 1)} ago`}, by ${startedBy(last)}: `
            : next && reports.length === 0 ? `Not yet: the first ${next.first}` : unknown,
        lastOutcome: last ? outcome(last) : null,
        next,
        nextNote: scheduleWords(it.schedule),
    };
}

const total = (runs, count) => runs.reduce((sum, run) => sum + count(run), 0);

/** Summary of several runs: of the whole chart, or of the runs that share a bar. */
function together(runs) {
    const [first, last] = [runs[0], runs.at(-1)].map((run) => new Date(run.started_at));
    const sums = Object.fromEntries(['reindexed', 'changed_elsewhere', 'adopted'].map((name) => [name, total(runs, (it) => it[name] ?? 0)]));
    const marked = (sign) => runs.filter((run) => outcome(run).signs.includes(sign)).length;
    const sentences = [`${plural(runs.length, 'run')}, ${between(first, last, 'to')}: `
        + `${plural(total(runs, (it) => it.sessions_deactivated), 'session')} deactivated, `
        + `${plural(total(runs, deletedBy), 'record')} deleted.`];
    if (marked('failed')) sentences.push(`${plural(marked('failed'), 'run')} failed.`);
    if (marked('incomplete')) sentences.push(`${plural(marked('incomplete'), 'run')} incomplete.`);
    if (marked('attention')) {
        sentences.push(`${plural(total(runs, (it) => it.malformed ?? 0), 'record')} malformed, in ${plural(marked('attention'), 'run')}.`);
    }
    const also = asides(sums);
    if (also.length > 0) sentences.push(`Also ${also.join(', ')}.`);
    return sentences.join(' ');
}

const NAMED_GAPS = 3;

function gapWords({ from, to, isOpen, hasOthers }) {
    const what = hasOthers ? 'No scheduled run' : 'No run';
    return isOpen ? `${what} since ${formatTime(from)}.` : `${what} between ${between(from, to, 'and')}.`;
}

function chartSummary(runs, dryRuns, gaps) {
    if (runs.length === 0) return '';
    const parts = [together(runs), ...gaps.slice(-NAMED_GAPS).map(gapWords)];
    if (gaps.length > NAMED_GAPS) parts.push(`Before, ${plural(gaps.length - NAMED_GAPS, 'more gap')}.`);
    if (dryRuns) parts.push(`Left out: ${plural(dryRuns, 'dry run')}.`);
    return `${parts.join(' ')} Each bar stands at the time of its run; the table below has the same figures.`;
}

/** Text of a bar: its run, or a summary of the runs that share it. */
function readout(runs) {
    const [run] = runs;
    return runs.length > 1 ? together(runs) : `${formatTime(new Date(run.started_at))}, by ${startedBy(run)}: `
        + `${formatNumber(run.sessions_deactivated)} deactivated, ${formatNumber(deletedBy(run))} deleted, ${outcome(run).said}`;
}

/** Notes below the counts of a report. */
function notes(report) {
    const say = (count, sentence) => (count > 0 ? [sentence(plural(count, 'record'))] : []);
    return [
        ...(report.error ? [`The run failed: ${report.error}`] : []),
        ...say(report.failed, (it) => `${it} could not be changed. The next run tries again; the log says why.`),
        ...refusedBy(report).map((key) => `The table refuses to change ${key}`),
        ...say(report.malformed, (it) => `${it} cannot be understood. ${report.malformed === 1
            ? 'Its own attributes stay as they are; the log names it.'
            : 'Their own attributes stay as they are; the log names the first 20.'}`),
        ...say(report.changed_elsewhere, (it) => `${it} had been changed by somebody else in the meantime.`),
        ...say(report.reindexed, (it) => `${it} had a wrong entry in the index, which ${
            report.dry_run ? 'a cleanup puts right' : 'was put right'}.`),
    ];
}

const counts = (report, [deactivated, deleted]) => [
    [`Sessions ${deactivated}`, report.sessions_deactivated],
    [`Inactive sessions ${deleted}`, report.sessions_deleted],
    [`Expired refresh tokens ${deleted}`, report.refresh_tokens_deleted],
    [`Expired blacklisted tokens ${deleted}`, report.blacklisted_tokens_deleted],
];

/** Sum of several runs, if one run could not finish the work. */
function addUp(reports) {
    const total = { ...reports.at(-1) };
    for (const name of [...COUNTS, 'changed_elsewhere', 'reindexed', 'failed']) {
        total[name] = reports.reduce((sum, it) => sum + (it[name] ?? 0), 0);
    }
    // Consecutive runs can count the same malformed records, so they are not added up.
    total.malformed = Math.max(...reports.map((it) => it.malformed ?? 0));
    total.failed_records = [...new Set(reports.flatMap((it) => it.failed_records ?? []))];
    return total;
}

/** Content of the dialog. `phase` is `counting`, `counted`, `cleaning`, `cleaned` or `failed`. */
function dialogView({ phase, dryRunOnly, preview, reports, failure, doing, unseen }) {
    const title = dryRunOnly ? 'Dry run' : 'Clean up';
    const view = { title, busy: false, counts: [], notes: [], close: 'Close', confirm: null };
    const besides = unseen ? [unseen] : [];
    if (phase === 'counting') {
        return { ...view, busy: true, close: 'Cancel', status: 'Counting what a cleanup would do. Nothing is changed.' };
    }
    if (phase === 'counted') {
        // A malformed record is moved off the due list, which is a change, too.
        const nothing = preview.complete && [...COUNTS, 'malformed', 'reindexed'].every((name) => (preview[name] ?? 0) === 0);
        const shown = { ...view, notes: [...notes(preview), ...besides],
            counts: nothing ? [] : counts(preview, ['to deactivate', 'to delete']) };
        if (!preview.complete) shown.notes.unshift('The time ran out before all was counted: there may be more to do.');
        if (nothing) {
            return { ...shown, status: unseen ? 'Of what is on the lists, nothing is due. Whether a cleanup is needed is not known.'
                : 'Nothing is due. A cleanup now would change nothing.' };
        }
        if (dryRunOnly) return { ...shown, status: 'A cleanup now would do this. Nothing has been changed.' };
        return { ...shown, status: 'This is what it would do now. Nothing has been changed yet. '
            + 'What is deleted does not come back.', close: 'Cancel', confirm: 'Clean up now' };
    }
    if (phase === 'cleaning') {
        return { ...view, busy: true, close: null, status: 'Cleaning up. It goes on if you close this page.' };
    }
    const done = reports.length ? addUp(reports) : null;
    if (phase === 'cleaned') {
        const last = reports.at(-1);
        return { ...view, counts: counts(done, ['deactivated', 'deleted']), notes: [...notes(done), ...besides],
            confirm: last.complete ? null : 'Go on',
            status: last.complete ? (outcome(done).signs.includes('failed') ? 'The cleanup is through, but not all went well.'
                : `Done in ${took(last.duration_ms)}.${done.malformed > 0 ? ' Correct the malformed records.' : ''}`)
                : 'The time ran out with work left. What is counted here is done; go on for the rest, '
                    + 'or leave it to the next scheduled run.' };
    }
    return { ...view, status: failureWords(failure, doing).join(' '),
        counts: done ? counts(done, ['deactivated', 'deleted']) : [] };
}

// --- The chart ----------------------------------------------------------------------------

/** The upper median. Undefined for an empty list. */
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Pairs of adjacent values. */
const pairs = (values) => values.slice(1).map((value, index) => [values[index], value]);

/**
 * Gaps between scheduled runs, and since the last one: periods of about twice the schedule's period or more. If the
 * schedule has no fixed period, the median is used. Gaps and `runs` are ordered from old to new.
 */
function findGaps(runs, schedule, now) {
    const times = runs.filter((run) => run.trigger === 'schedule').map(startOf);
    const usual = periodOf(schedule) ?? median(pairs(times).map(([from, to]) => to - from));
    if (times.length === 0 || !usual) return [];
    return pairs([...times, now]).map(([from, to], index) => ({
        from, to, isOpen: index === times.length - 1, hasOthers: runs.some((run) => startOf(run) > from && startOf(run) < to),
    })).filter(({ from, to }) => to - from > 1.75 * usual);
}

/**
 * Time axis, from shortly before the first run to now, `width` pixels wide. Long pauses are cut, to leave space for the
 * runs. `at` returns the position of a time, `stretches` are the parts between the cuts, and `unit` is the usual distance
 * between two runs in pixels.
 */
function timeAxis(runs, schedule, now, width) {
    const times = [...runs.map(startOf), now];
    const distances = pairs(times).map(([from, to]) => to - from);
    const usual = Math.max(median(distances), runs.length === 1 ? periodOf(schedule) ?? UNITS.hour : 1_000);
    const long = 6 * usual;
    const longest = Math.max(long, distances.filter((it) => it <= long).reduce((sum, it) => sum + it, 0) / 4);
    const shown = distances.map((it) => Math.min(it, longest));
    // If there are few runs, there is space before them instead of wide bars.
    const sum = shown.reduce((all, it) => all + it, 0);
    const before = Math.max(usual / 2, 12 * usual - sum);
    const scale = width / (before + sum);
    const pieces = [{ from: times[0] - before, to: times[0], x: 0, end: before * scale, isCut: false }];
    for (const [index, [from, to]] of pairs(times).entries()) {
        const { end } = pieces.at(-1);
        pieces.push({ from, to, x: end, end: end + shown[index] * scale, isCut: distances[index] > longest });
    }
    const stretches = [];
    for (const piece of pieces) {
        const last = stretches.at(-1);
        if (piece.isCut) stretches.push(null);
        else if (last) Object.assign(last, { to: piece.to, end: piece.end });
        else stretches.push({ ...piece });
    }
    const at = (time) => {
        const { from, to, x, end } = pieces.find((it) => time <= it.to) ?? pieces.at(-1);
        return to === from ? end : x + ((time - from) / (to - from)) * (end - x);
    };
    return { at, unit: usual * scale, scale, cuts: pieces.filter((it) => it.isCut), stretches: stretches.filter(Boolean) };
}

const TICK_MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080, 20_160, 40_320];

/** Labels of the axis at round times of day. A label has a day if it differs from the label before. */
function timeLabels({ at, scale, stretches }, end) {
    const room = 58;
    const minutes = TICK_MINUTES.find((it) => it * 60_000 * scale >= room) ?? TICK_MINUTES.at(-1);
    const labels = [];
    let day = '';
    for (const { from, to } of stretches) {
        const midnight = new Date(from);
        midnight.setHours(0, 0, 0, 0);
        // Local time, so that the labels stay round after a change of daylight saving time.
        for (let count = 0; ; count += 1) {
            const time = new Date(midnight.getFullYear(), midnight.getMonth(), midnight.getDate(), 0, count * minutes);
            // Also ends the loop at an invalid date, which compares as false.
            if (!(time <= to)) break;
            const x = at(time);
            if (time < from || x < 8 || x > end - 44 || x < (labels.at(-1)?.x ?? -room) + room * 0.9) continue;
            const isOther = formatDay(time) !== day;
            day = formatDay(time);
            labels.push(minutes < 1_440 ? { x, hour: formatHour(time), day: isOther ? day : '' } : { x, hour: day, day: '' });
        }
    }
    return labels;
}

const MIN_BAR = 3;
const MARK_HEIGHT = 14;

/**
 * Columns of the runs, in chronological order. A run without space at its own time is moved to the right. If it would move
 * too far, it shares the bar before it.
 */
function placeRuns(runs, axis) {
    const pitch = Math.min(Math.max(axis.unit * 0.3, MIN_BAR + 1), 8);
    const shift = Math.max(axis.unit * 0.5, pitch);
    const columns = [];
    for (const run of runs) {
        const own = axis.at(startOf(run));
        const x = Math.max(own, (columns.at(-1)?.x ?? -Infinity) + pitch);
        if (x - own > shift) columns.at(-1).runs.push(run);
        else columns.push({ x, runs: [run] });
    }
    return columns.map((column, index) => {
        const room = Math.min(...[columns[index - 1], columns[index + 1]].filter(Boolean).map((it) => Math.abs(it.x - column.x)));
        return { ...column, width: Math.max(MIN_BAR, Math.min(axis.unit * 0.72, room * 0.8, 40)) };
    });
}

/** The smallest round number that is at least `value`. */
function roundTop(value) {
    const scale = 10 ** Math.floor(Math.log10(Math.max(1, value)));
    return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * scale).find((step) => step >= value);
}

/**
 * Scale of a measure. `share` maps a value to 0 to 1. The scale is logarithmic if a quarter of the bars would be too low
 * to be visible on a linear scale. Zero maps to 0 in both cases.
 */
function valueScale(values, height) {
    const highest = Math.max(...values);
    const some = values.filter((value) => value > 0).toSorted((a, b) => a - b);
    const low = some[Math.floor((some.length - 1) / 4)];
    if (some.length === 0 || (low / highest) * height >= MIN_BAR) {
        const top = roundTop(highest);
        return { isLogarithmic: false, ticks: [0, ...(top % 2 === 0 ? [top / 2] : []), top], share: (value) => value / top };
    }
    const powers = Math.ceil(Math.log10(highest));
    const every = Math.ceil(powers / 4);
    const ticks = [0];
    for (let power = powers; power > 0; power -= every) ticks.splice(1, 0, 10 ** power);
    return { isLogarithmic: true, ticks, share: (value) => Math.log1p(value) / Math.log1p(10 ** powers) };
}

/** Layout of a chart of this width: a panel for each measure, with bars at the times of the runs. */
function chartLayout(runs, gaps, schedule, now, width) {
    const height = 92;
    const measures = [
        { name: 'Sessions deactivated', className: 'deactivated', of: (run) => run.sessions_deactivated },
        { name: 'Records deleted', className: 'deleted', of: deletedBy },
    ];
    // The labels of the grid are measured first. They hardly depend on which runs share a bar.
    const write = (value) => (value < 10_000 ? formatNumber : formatShort)(value);
    const widest = Math.max(...measures.flatMap(({ of }) => valueScale(runs.map(of), height).ticks.map((tick) => write(tick).length)));
    const left = 14 + 7 * widest;
    const right = width - 22;
    const axis = timeAxis(runs, schedule, now, right - left);
    const columns = placeRuns(runs, axis).map((it) => ({ ...it, x: left + it.x }));
    const panels = measures.map(({ name, className, of }, index) => {
        const values = columns.map((column) => total(column.runs, of));
        const scale = valueScale(values, height);
        const base = 28 + height + index * (height + 46);
        return {
            className, base, top: base - height,
            name: scale.isLogarithmic ? `${name}, logarithmic scale` : name,
            ticks: scale.ticks.map((value) => ({ y: base - scale.share(value) * height, text: write(value) })),
            bars: columns.map((column, at) => ({ x: column.x - column.width / 2, width: column.width, value: values[at],
                // Values above 0 are always visible.
                height: values[at] === 0 ? 0 : Math.max(2, scale.share(values[at]) * height) })),
        };
    });
    const marksAt = panels.at(-1).base + 14;
    const marks = columns.map((column) => ({ x: column.x, count: column.runs.length,
        kinds: Object.keys(SIGNS).filter((sign) => column.runs.some((run) => outcome(run).signs.includes(sign))) }));
    // Several marks of one run are below each other.
    const labelsAt = marksAt + 26 + MARK_HEIGHT * (Math.max(1, ...marks.map(({ kinds, count }) => kinds.length + (count > 1))) - 1);
    return {
        width, height: labelsAt + 22, left, right: width, now: right, panels, columns, marks, marksAt, labelsAt,
        labels: timeLabels(axis, right - left).map((it) => ({ ...it, x: left + it.x })),
        gaps: gaps.map((gap) => ({ ...gap, x: left + axis.at(gap.from) + axis.unit / 2,
            end: left + axis.at(gap.to) - (gap.isOpen ? 0 : axis.unit / 2) })).filter(({ x, end }) => end > x),
        cuts: axis.cuts.map(({ x, end, from, to }) => ({ x: left + (x + end) / 2, width: end - x, words: duration((to - from) / 1_000, 1) })),
        /** Index of the bar that is closest to this position. */
        columnAt: (x) => columns.reduce((best, column, index) =>
            (Math.abs(column.x - x) < Math.abs(columns[best].x - x) ? index : best), 0),
    };
}

function svg(name, attributes = {}, ...children) {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
}

/** A cross, a diamond and a triangle, which differ without colour. */
const SIGNS = {
    failed: { words: 'failed', path: (x, y) => `M${x - 4},${y - 4}l8,8m0,-8l-8,8` },
    attention: { words: 'malformed records: correct them', path: (x, y) => `M${x},${y - 6}l6,6l-6,6l-6,-6z` },
    incomplete: { words: 'incomplete: the time ran out', path: (x, y) => `M${x},${y - 5}l5.5,10h-11z` },
};
const mark = (kind, x, y) => svg('path', { class: `${kind}-mark`, d: SIGNS[kind].path(x, y) });

/** The mark, for use within text that has the same meaning. */
const markInText = (kind) => svg('svg', { class: 'sign', width: 16, height: 12, 'aria-hidden': 'true' }, mark(kind, 7, 6));

const gapInText = () => svg('svg', { class: 'sign', width: 16, height: 12, 'aria-hidden': 'true' },
    svg('rect', { class: 'gap', x: 1, y: 0, width: 13, height: 12 }));

function drawChart(layout) {
    const drawing = svg('svg', { role: 'img', 'aria-labelledby': 'chart-heading', 'aria-describedby': 'chart-summary',
        height: layout.height, viewBox: `0 0 ${layout.width} ${layout.height}` });
    const line = (className, x1, y1, x2, y2) => svg('line', { class: className, x1, y1, x2, y2 });
    const text = (x, y, words, className = '', anchor = 'middle') =>
        svg('text', { x, y, 'text-anchor': anchor, ...(className && { class: className }) }, words);
    drawing.append(svg('rect', { class: 'here', y: 20, height: layout.height - 52, visibility: 'hidden' }));
    const [upper] = layout.panels;
    const bottom = layout.panels.at(-1).base;
    for (const { x, end } of layout.gaps) {
        for (const { top, base } of layout.panels) drawing.append(svg('rect', { class: 'gap', x, y: top, width: end - x, height: base - top }));
    }
    drawing.append(line('now', layout.now, upper.top, layout.now, bottom + 4));
    for (const panel of layout.panels) {
        drawing.append(text(0, panel.top - 14, panel.name, 'title', 'start'));
        for (const { y, text: words } of panel.ticks) {
            drawing.append(line(y === panel.base ? 'base' : 'grid', layout.left, y, layout.right, y),
                text(layout.left - 8, y + 4, words, '', 'end'));
        }
        for (const bar of panel.bars.filter((it) => it.height > 0)) {
            drawing.append(svg('rect', { class: panel.className, x: bar.x, y: panel.base - bar.height,
                width: bar.width, height: bar.height, 'data-value': bar.value }));
        }
        // Two strokes across the axis mark a cut.
        for (const { x } of layout.cuts) {
            drawing.append(svg('path', { class: 'cut', d: `M${x - 5},${panel.base + 5}l4,-10m4,0l-4,10` }));
        }
    }
    for (const { x, width, words } of layout.cuts) if (width > 7 * words.length) drawing.append(text(x, upper.top + 34, words, 'gap-words'));
    for (const { x, end, hasOthers } of layout.gaps) {
        if (end - x > 48 && !hasOthers) drawing.append(text((x + end) / 2, upper.top + 18, 'no run', 'gap-words'));
    }
    for (const { x, kinds, count } of layout.marks) {
        kinds.forEach((kind, index) => drawing.append(mark(kind, x, layout.marksAt + MARK_HEIGHT * index)));
        // The number of runs that share the bar, below their marks, unless it would be next to other marks.
        const hasRoom = !layout.marks.some((it) => it.kinds.length > kinds.length && Math.abs(it.x - x) < 20);
        if (count > 1 && hasRoom) drawing.append(text(x, layout.marksAt + MARK_HEIGHT * kinds.length + 4, `×${count}`));
    }
    for (const { x, hour, day } of layout.labels) {
        drawing.append(line('base', x, bottom, x, bottom + 4), text(x, layout.labelsAt, hour), text(x, layout.labelsAt + 15, day));
    }
    drawing.append(text(layout.now, layout.labelsAt, 'now'));
    return drawing;
}

// --- The document -------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);
const setText = (id, text) => { byId(id).textContent = text; };

function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
}

function timeElement(iso) {
    const time = new Date(iso);
    const shown = element('time', '', formatTime(time));
    shown.dateTime = iso;
    shown.title = `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
    return shown;
}

/** Elements of an outcome: each part with its mark, and its words converted by `write`. */
function outcomeElements({ parts }, write = (words) => words) {
    return parts.flatMap(({ kind, words }, index) => [...(index > 0 ? [', '] : []),
        element('span', kind, ...(SIGNS[kind] ? [markInText(kind)] : []), write(words))]);
}

function showStatistics(statistics, reports) {
    const view = statisticsView(statistics, reports, Date.now());
    for (const name of ['need', 'live', 'expired', 'inactive', 'total', 'oldest']) setText(name, view[name]);
    setText('total-note', view.totalNote);
    setText('oldest-note', view.oldestNote);
    for (const name of ['malformed', 'advice']) {
        setText(name, view[name]);
        byId(name).hidden = !view[name];
    }
    byId('last').replaceChildren(view.last ? timeElement(view.last) : 'None');
    const went = view.lastOutcome;
    byId('last-note').replaceChildren(view.lastNote, ...(went ? outcomeElements(went, (words) => words.toLowerCase()) : []),
        went?.also ? `, ${went.also}` : '');
    byId('next-panel').hidden = view.next === null;
    byId('next-panel').classList.toggle('some', view.next?.isLate ?? false);
    setText('next', view.next?.words ?? '');
    setText('next-note', view.nextNote);
    document.querySelector('.need').classList.toggle('needed', view.needed);
    byId('expired-panel').classList.toggle('some', view.isExpired);
}

function reportRow(report) {
    const went = outcome(report);
    const started = element('th', '', timeElement(report.started_at));
    started.scope = 'row';
    const result = element('td', 'outcome', ...outcomeElements(went));
    if (report.dry_run) result.prepend(element('span', 'tag', 'Dry run'), ' ');
    for (const words of [went.reason, went.also]) if (words) result.append(element('span', 'reason', words));
    const refused = refusedBy(report);
    if (refused.length > 0) {
        const keys = element('ul', '', ...refused.map((key) => element('li', '', key)));
        result.append(element('details', 'reason', element('summary', '', `${plural(refused.length, 'record')} refused by the table`), keys));
    }
    const numbers = [report.sessions_deactivated, deletedBy(report), report.sessions_deleted,
        report.refresh_tokens_deleted, report.blacklisted_tokens_deleted].map(formatNumber);
    numbers.push(took(report.duration_ms), formatNumber(report.capacity_units));
    return element('tr', report.dry_run ? 'dry' : '', started, element('td', 'by', startedBy(report)), result,
        ...numbers.map((text) => element('td', 'number', text)));
}

// The last data that was read with this token.
let known = { statistics: null, reports: [], charted: [], dryRuns: 0 };
// Newest run of the bar that is selected with the pointer or the keyboard.
let chosen = null;

const HINT = 'Point at a run, tap it, or choose it with the arrow keys, to read its figures.';

function emptyWords({ dryRuns, statistics }) {
    const next = statistics && nextView(statistics, Date.now());
    const first = next ? `the first ${next.first}.` : '';
    if (dryRuns > 0) return `Only dry runs are among the last reports.${first && ` No cleanup has run yet: ${first}`}`;
    return first ? `No cleanup has run yet: ${first}` : 'There is no report of a cleanup.';
}

function redrawChart() {
    const place = byId('chart');
    const chooser = byId('run');
    const { charted, statistics } = known;
    chooser.hidden = charted.length === 0;
    if (charted.length === 0) {
        place.replaceChildren(element('p', 'empty', emptyWords(known)));
        setText('chart-summary', '');
        setText('readout', '');
        return;
    }
    // The clock of this device may be slower than the clock of the API.
    const now = Math.max(Date.now(), startOf(charted.at(-1)));
    const gaps = findGaps(charted, statistics?.schedule, now);
    setText('chart-summary', chartSummary(charted, known.dryRuns, gaps));
    const layout = chartLayout(charted, gaps, statistics?.schedule, now, place.clientWidth);
    const { columns } = layout;
    const drawing = drawChart(layout);
    const here = drawing.querySelector('.here');
    const kinds = Object.keys(SIGNS).filter((kind) => layout.marks.some((it) => it.kinds.includes(kind)));
    const legend = element('p', 'legend quiet', ...kinds.map((kind) => element('span', '', markInText(kind), SIGNS[kind].words)));
    if (layout.gaps.length > 0) legend.append(element('span', '', gapInText(), 'no scheduled run'));
    const choose = (index) => {
        const column = columns[index];
        chosen = column?.runs.at(-1).run_id ?? null;
        here.setAttribute('visibility', column ? 'visible' : 'hidden');
        if (column) {
            const width = Math.max(column.width * 1.3, 8);
            here.setAttribute('x', column.x - width / 2);
            here.setAttribute('width', width);
            chooser.value = index;
            chooser.setAttribute('aria-valuetext', readout(column.runs));
        }
        // The hint reserves the height, so that the layout does not shift.
        setText('readout', column ? readout(column.runs) : HINT);
    };
    const point = (event) => choose(event.type === 'pointerleave' ? -1
        : layout.columnAt(event.clientX - drawing.getBoundingClientRect().left));
    drawing.addEventListener('pointermove', point);
    drawing.addEventListener('pointerdown', point);
    // On touch, lifting the finger also fires this event. The selection must stay then.
    drawing.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && point(event));
    chooser.max = columns.length - 1;
    chooser.oninput = () => choose(Number(chooser.value));
    chooser.onfocus = chooser.oninput;
    place.replaceChildren(drawing, ...(legend.hasChildNodes() ? [legend] : []));
    const again = columns.findIndex((column) => column.runs.some((run) => run.run_id === chosen));
    choose(again);
    if (again < 0) {
        chooser.value = columns.length - 1;
        chooser.setAttribute('aria-valuetext', readout(columns.at(-1).runs));
    }
}

function showReports(reports) {
    const real = reports.filter((it) => !it.dry_run).slice(0, CHARTED_RUNS);
    // The table starts at the same run as the chart, so that it can replace the chart.
    const shown = real.length < CHARTED_RUNS ? reports : reports.slice(0, reports.indexOf(real.at(-1)) + 1);
    Object.assign(known, { reports, charted: real.toReversed(), dryRuns: shown.length - real.length });
    byId('reports').replaceChildren(...shown.map(reportRow));
    byId('reports-panel').hidden = shown.length === 0;
    redrawChart();
}

function showFailure([headline, advice]) {
    const notice = element('div', 'notice', element('strong', '', headline), ' ', advice);
    // An unchanged alert must not be announced again.
    if (byId('alert').textContent !== notice.textContent) byId('alert').replaceChildren(notice);
}

// --- Events -------------------------------------------------------------------------------

const api = createApi(location.pathname.replace(/\/+$/, ''));
let timer = 0;
let refreshing = null;
let refreshedAt = 0;
// Number of the current token. Responses to an earlier token are not shown.
let visit = 0;

function showSignIn(words) {
    api.forget();
    visit += 1;
    // The next token must not wait for requests of this one.
    refreshing = null;
    clearTimeout(timer);
    if (byId('dialog').open) closeDialog();
    for (const id of ['session', 'dashboard', 'footer']) byId(id).hidden = true;
    byId('sign-in').hidden = false;
    // Removes all data that was read with this token.
    known = { statistics: null, reports: [], charted: [], dryRuns: 0 };
    chosen = null;
    byId('dashboard').classList.remove('stale');
    byId('reports').replaceChildren();
    byId('chart').replaceChildren();
    for (const id of ['live', 'expired', 'inactive', 'total', 'oldest', 'last']) setText(id, '–');
    for (const id of ['oldest-note', 'last-note', 'next', 'next-note', 'advice', 'chart-summary', 'readout', 'status']) setText(id, '');
    byId('run').removeAttribute('aria-valuetext');
    setText('need', 'The sessions are being counted …');
    for (const id of ['malformed', 'advice', 'next-panel']) byId(id).hidden = true;
    if (words) showFailure(words);
    else byId('alert').replaceChildren();
    byId('token').focus();
}

function signIn(event) {
    event.preventDefault();
    const field = byId('token');
    const pasted = field.value;
    field.value = '';
    const token = tokenIn(pasted);
    if (!token) {
        showFailure(pasted.trim() ? ['That is not a token.', 'A token has no blanks and only plain letters, digits and signs.']
            : ['There is no token yet.', 'Paste one into the field.']);
        field.focus();
        return;
    }
    api.use(token);
    refreshedAt = 0;
    byId('alert').replaceChildren();
    byId('sign-in').hidden = true;
    for (const id of ['session', 'dashboard', 'footer']) byId(id).hidden = false;
    setText('refreshed', 'Refreshing …');
    byId('need-heading').focus();
    refresh();
}

const sayRefreshed = (stale) =>
    setText('refreshed', refreshedAt === 0 ? 'Not refreshed yet'
        : `${stale ? 'Old numbers, of' : 'Refreshed'} ${formatClock(refreshedAt)}`);

function markStale(words) {
    byId('dashboard').classList.add('stale');
    sayRefreshed(true);
    if (refreshedAt === 0) setText('need', 'Not known yet.');
    showFailure(refreshedAt === 0 ? words : [words[0], `${words[1]} The numbers below are old, of ${formatClock(refreshedAt)}.`]);
}

/** Reads all data again. Concurrent calls share one refresh. */
function refresh() {
    clearTimeout(timer);
    if (refreshing) return refreshing;
    const mine = visit;
    refreshing = readAll().finally(() => {
        if (mine !== visit) return;
        refreshing = null;
        schedule();
    });
    return refreshing;
}

/** Refreshes on request of the user, and announces the result to screen readers. */
async function refreshByHand() {
    const mine = visit;
    setText('refreshed', 'Refreshing …');
    await refresh();
    if (mine === visit && !byId('dashboard').classList.contains('stale')) {
        setText('status', `${byId('refreshed').textContent}. Is a cleanup needed? ${byId('need').textContent}`);
    }
}

async function readAll() {
    const mine = visit;
    const answers = await Promise.allSettled([api.statistics(), api.reports()]);
    if (mine !== visit) return;
    const failure = answers.find((it) => it.status === 'rejected')?.reason;
    if (failure) {
        if (!(failure instanceof CallFailed)) throw failure;
        const words = failureWords(failure, 'read');
        if (failure.status === 401 || failure.status === 403) {
            showSignIn(words);
            return;
        }
        // The table may be too large to count in time. The reports can be shown without the counts.
        if (answers[1].status === 'fulfilled') showReports(answers[1].value);
        markStale(words);
        return;
    }
    const first = refreshedAt === 0;
    const wasStale = byId('dashboard').classList.contains('stale');
    refreshedAt = Date.now();
    byId('dashboard').classList.remove('stale');
    byId('alert').replaceChildren();
    known.statistics = answers[0].value;
    showStatistics(answers[0].value, answers[1].value);
    showReports(answers[1].value);
    sayRefreshed(false);
    // Announced once, not at each refresh.
    if (first) setText('status', `Is a cleanup needed? ${byId('need').textContent}${
        byId('next-panel').classList.contains('some') ? ` Next cleanup: ${byId('next').textContent}.` : ''}`);
    else if (wasStale) setText('status', 'The numbers are up to date again.');
}

// No refresh during a run, because its failure would hide the result of the run. The run refreshes at its end.
const isAtWork = () => dialog.phase === 'counting' || dialog.phase === 'cleaning';

function schedule() {
    clearTimeout(timer);
    if (api.hasToken() && !document.hidden && !refreshing && !isAtWork()) timer = setTimeout(refresh, REFRESH_MS);
}

let dialog = { phase: 'closed' };
let ticking = 0;

function showDialog(state) {
    dialog = state;
    const view = dialogView(state);
    setText('dialog-heading', view.title);
    setText('dialog-status', view.status);
    byId('dialog-status').className = state.phase === 'failed' ? 'failed' : '';
    byId('dialog-counts').replaceChildren(...view.counts.map(([name, count]) =>
        element('div', '', element('dt', '', name), element('dd', '', formatNumber(count)))));
    byId('dialog-notes').replaceChildren(...view.notes.map((note) => element('li', '', note)));
    for (const [id, label] of [['dialog-close', view.close], ['dialog-confirm', view.confirm]]) {
        byId(id).hidden = label === null;
        setText(id, label ?? '');
    }
    byId('dialog-progress').hidden = !view.busy;
    clearInterval(ticking);
    if (view.busy) {
        const begun = Date.now();
        const tick = () => setText('elapsed', `${Math.round((Date.now() - begun) / 1_000)} s`);
        tick();
        ticking = setInterval(tick, 1_000);
    }
    if (!byId('dialog').open) byId('dialog').showModal();
    // Focuses the safe button, or the heading if there is no such button.
    byId(view.close === null ? 'dialog-heading' : 'dialog-close').focus();
}

function closeDialog() {
    dialog.stop?.abort();
    dialog = { phase: 'closed' };
    clearInterval(ticking);
    byId('dialog').close();
}

/** Makes a call for the dialog. A result that arrives after the dialog was closed or the token forgotten is not shown. */
async function forDialog(state, doing, makeCall, then) {
    const mine = visit;
    showDialog(state);
    schedule();
    try {
        const answer = await makeCall();
        if (dialog === state) showDialog(then(answer));
    } catch (failure) {
        if (!(failure instanceof CallFailed)) throw failure;
        if (mine !== visit || dialog !== state) return;
        if (failure.status === 401) showSignIn(failureWords(failure, doing));
        else showDialog({ ...state, phase: 'failed', failure, doing });
    } finally {
        // A refresh that started before the run does not include it, so another one follows.
        if (mine === visit) await Promise.resolve(refreshing).then(() => mine === visit && refresh());
    }
}

function count(dryRunOnly) {
    const stop = new AbortController();
    const unseen = known.statistics && unseenNote(known.statistics, known.reports, Date.now());
    const state = { phase: 'counting', dryRunOnly, reports: [], stop, unseen };
    forDialog(state, 'count', () => api.dryRun(stop.signal), (preview) => ({ ...state, phase: 'counted', preview }));
}

function cleanUp() {
    const state = { ...dialog, phase: 'cleaning', stop: null };
    forDialog(state, 'clean', api.cleanUp,
        (report) => ({ ...state, phase: 'cleaned', reports: [...state.reports, report] }));
}

byId('sign-in').addEventListener('submit', signIn);
byId('sign-out').addEventListener('click', () => showSignIn());
byId('refresh').addEventListener('click', refreshByHand);
byId('dry-run').addEventListener('click', () => count(true));
byId('clean-up').addEventListener('click', () => count(false));
byId('dialog-close').addEventListener('click', closeDialog);
byId('dialog-confirm').addEventListener('click', cleanUp);
byId('dialog').addEventListener('cancel', (event) => {
    event.preventDefault();
    if (dialog.phase !== 'cleaning') closeDialog();
});
// Some browsers close the dialog at the second Escape in spite of preventDefault().
byId('dialog').addEventListener('close', () => {
    if (dialog.phase !== 'closed') showDialog(dialog);
});
document.addEventListener('visibilitychange', () => {
    if (!api.hasToken() || isAtWork()) return;
    if (document.hidden || Date.now() - refreshedAt < REFRESH_MS) schedule();
    else refresh();
});
// A stack on this machine responds without a network, too, so the page tries in both cases.
for (const change of ['online', 'offline']) {
    window.addEventListener(change, () => api.hasToken() && !document.hidden && !isAtWork() && refresh());
}
// A browser may keep the page in its back/forward cache, with the token in memory.
window.addEventListener('pagehide', () => api.hasToken() && showSignIn());

let drawnWidth = 0;
new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === drawnWidth || known.charted.length === 0) return;
    drawnWidth = contentRect.width;
    redrawChart();
}).observe(byId('chart'));

setText('zone', Intl.DateTimeFormat().resolvedOptions().timeZone);
showSignIn();
