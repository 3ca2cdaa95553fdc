// The monitoring page. First what is decided, from answers to what is shown, without the document;
// then the chart; then the document, and what happens in which order.

const REFRESH_MS = 30_000;
// API Gateway gives up after 29 seconds; who has not answered by then will not.
const PATIENCE_MS = 40_000;
const CHARTED_RUNS = 48;
// Dry runs are left out of the chart, so 48 runs may take more than one page of 100 reports.
const MOST_PAGES = 3;

// --- Words ---------------------------------------------------------------------------------

// The page is in English, so numbers and times are written as the reader's own English has them.
const LOCALE = navigator.languages.find((name) => name.startsWith('en')) ?? 'en-GB';
const DAY_AND_TIME = { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' };
const formatNumber = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 1 }).format;
const formatTime = new Intl.DateTimeFormat(LOCALE, DAY_AND_TIME).format;
const formatClock = new Intl.DateTimeFormat(LOCALE, { timeStyle: 'medium' }).format;
const formatHour = new Intl.DateTimeFormat(LOCALE, { hour: '2-digit', minute: '2-digit' }).format;
const formatDay = new Intl.DateTimeFormat(LOCALE, { day: 'numeric', month: 'short' }).format;

const plural = (count, one, many = `${one}s`) => `${formatNumber(count)} ${count === 1 ? one : many}`;

/** A duration in its largest units: `3 days 4 hours`. Below an hour one is enough, and where `most` is 1. */
function duration(seconds, most = seconds < 3_600 ? 1 : 2) {
    const whole = Math.max(0, Math.floor(seconds));
    const units = [['day', 86_400, Infinity], ['hour', 3_600, 24], ['minute', 60, 60], ['second', 1, 60]];
    const parts = units.map(([name, size, wrap]) => [Math.floor(whole / size) % wrap, name]);
    const first = parts.findIndex(([count]) => count > 0);
    if (first < 0) return '0 seconds';
    return parts.slice(first, first + most).filter(([count]) => count > 0)
        .map(([count, name]) => plural(count, name)).join(' ');
}

const took = (ms) => (ms < 1_000 ? `${formatNumber(ms)} ms` : `${formatNumber(ms / 1_000)} s`);

/** The token in what somebody has pasted: with `Bearer`, a whole header or `curl` line, quotes, blanks. */
function tokenIn(pasted) {
    // A field of one line drops line ends, so there may be nothing between the word and the token.
    const afterBearer = /(?:^|[\s:'"])bearer\s*([^\s'"]+)/i.exec(pasted)?.[1];
    const token = (afterBearer ?? pasted).replace(/[\s'"]/g, '');
    // Nothing else can stand in a header.
    return /^[\x21-\x7e]+$/.test(token) ? token : null;
}

// --- What the API answers ------------------------------------------------------------------

/** What went wrong with a call. `kind` is `status`, `network`, `timeout` or `unexpected`. */
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

/** Calls the API below `base`. The token is in this closure and nowhere else. */
function createApi(base) {
    let token = null;

    async function call(method, path, isExpected, signal) {
        const patience = AbortSignal.timeout(PATIENCE_MS);
        let response, text;
        try {
            response = await fetch(`${location.origin}${base}/sessions/${path}`, {
                method,
                headers: { Authorization: `Bearer ${token}`, Accept: 'application/json' },
                cache: 'no-store',
                credentials: 'omit',
                redirect: 'error',
                referrerPolicy: 'no-referrer',
                signal: signal ? AbortSignal.any([signal, patience]) : patience,
            });
            text = await response.text();
        } catch {
            throw new CallFailed(patience.aborted ? 'timeout' : 'network');
        }
        let answer = null;
        try {
            answer = JSON.parse(text);
        } catch {
            // A failure says more by its status, and a success is then not what is expected.
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
    'Token expired': 'Its time is over. Get a new one from your application.',
    'Session expired': 'Your session is past its end, and is closed now. Log in to your application again.',
    'Session inactive': 'Your session was closed. Log in to your application again.',
    'Session not found': 'There is no such session. Log in to your application again.',
    'Token revoked': 'It was withdrawn. Log in to your application again.',
    'Invalid token': 'It may have been cut off, or belong to another system.',
    'Missing bearer token': 'Paste the token as your application gives it.',
};

/** A failure as a headline and what to make of it. `doing` is `read`, `count` (a dry run) or `clean`. */
function failureWords({ kind, status, reason }, doing) {
    const quoted = reason ? `: “${reason}”` : '';
    const again = doing === 'read' ? 'The next try is in 30 seconds.' : 'Try again in a while.';
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

// --- What is shown -------------------------------------------------------------------------

const deletedBy = (it) => it.sessions_deleted + it.refresh_tokens_deleted + it.blacklisted_tokens_deleted;

/** `failed`, `incomplete` or `complete`, and what there is to say about it. */
function outcome(report) {
    const failed = Boolean(report.error) || report.failed > 0;
    const words = [];
    if (failed) words.push(report.failed > 0 ? `Failed on ${plural(report.failed, 'record')}` : 'Failed');
    if (!report.complete) words.push(failed ? 'incomplete' : 'Incomplete');
    return {
        kind: failed ? 'failed' : report.complete ? 'complete' : 'incomplete',
        words: words.join(', ') || 'Complete',
        reason: report.error ?? '',
    };
}

/** A text that others chose. Marks of direction in it would turn the words around it. */
const others = (text) => text.replace(/\p{Bidi_Control}/gu, '\ufffd');

function startedBy({ trigger, requested_by: user }) {
    if (trigger === 'schedule') return 'schedule';
    return trigger === 'api' ? others(user ?? 'API') : 'hand';
}

/** The keys of the records that the table refused, as far as the report names them. */
const refusedBy = (report) => (report.failed_records ?? []).map(others);

function malformedSentence({ malformed_records: malformed = 0 }) {
    if (malformed === 0) return '';
    return malformed === 1
        ? '1 record cannot be understood, and no cleanup looks at it. The log of a cleanup names it. Correct it, then run the cleanup with adopt.'
        : `${formatNumber(malformed)} records cannot be understood, and no cleanup looks at them. The logs of the cleanups name them. `
            + 'Correct them, then run the cleanup with adopt.';
}

function needSentence({ expired_sessions: expired, oldest_expired_age_seconds: age }) {
    if (expired === 0) return 'No: no session waits to be closed. What else is due for deletion, a dry run tells.';
    const what = expired === 1 ? '1 session has expired and is still active.'
        : `${formatNumber(expired)} sessions have expired and are still active.`;
    return age === null || age === undefined ? `Yes: ${what}`
        : `Yes: ${what} The oldest expired ${duration(age)} ago.`;
}

function statisticsView(it, now) {
    const last = it.last_cleanup;
    const ago = last && (now - Date.parse(last.started_at)) / 1_000;
    return {
        need: needSentence(it),
        needed: it.expired_sessions > 0,
        live: formatNumber(it.active_sessions - it.expired_sessions),
        expired: formatNumber(it.expired_sessions),
        inactive: formatNumber(it.inactive_sessions),
        malformed: malformedSentence(it),
        total: formatNumber(it.total_sessions),
        oldest: it.oldest_expired_age_seconds == null ? 'None' : duration(it.oldest_expired_age_seconds),
        oldestNote: it.oldest_expired_age_seconds == null ? '' : 'past its end',
        last: last?.started_at ?? null,
        lastNote: last ? `${ago < 1 ? 'just now' : `${duration(ago, 1)} ago`}, by ${startedBy(last)}: `
            + `${outcome(last).words.toLowerCase()}` : 'Not yet, or its report is gone',
    };
}

function chartSummary(runs, dryRuns) {
    if (runs.length === 0) return '';
    const sum = (count) => runs.reduce((total, run) => total + count(run), 0);
    const marked = (kind) => runs.filter((run) => outcome(run).kind === kind).length;
    const [first, last] = [runs[0], runs.at(-1)].map((run) => formatTime(new Date(run.started_at)));
    const parts = [`${plural(runs.length, 'run')}, ${first === last ? first : `${first} to ${last}`}: `
        + `${plural(sum((it) => it.sessions_deactivated), 'session')} deactivated, `
        + `${plural(sum(deletedBy), 'record')} deleted.`];
    if (marked('failed')) parts.push(`${plural(marked('failed'), 'run')} failed.`);
    if (marked('incomplete')) parts.push(`${plural(marked('incomplete'), 'run')} incomplete.`);
    if (dryRuns) parts.push(`Left out: ${plural(dryRuns, 'dry run')}.`);
    return `${parts.join(' ')} One bar for each run; the table below has the same figures.`;
}

const readout = (run) => `${formatTime(new Date(run.started_at))}, by ${startedBy(run)}: `
    + `${formatNumber(run.sessions_deactivated)} deactivated, ${formatNumber(deletedBy(run))} deleted, `
    + outcome(run).words.toLowerCase();

/** What is said beside the counts of a report. */
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
        ...say(report.reindexed, (it) => `${it} had a wrong entry in the index, which was put right.`),
    ];
}

const counts = (report, [deactivated, deleted]) => [
    [`Sessions ${deactivated}`, report.sessions_deactivated],
    [`Inactive sessions ${deleted}`, report.sessions_deleted],
    [`Expired refresh tokens ${deleted}`, report.refresh_tokens_deleted],
    [`Expired blacklisted tokens ${deleted}`, report.blacklisted_tokens_deleted],
];

/** What several runs did together, where one was not enough. */
function addUp(reports) {
    const total = { ...reports.at(-1) };
    for (const name of [...COUNTS, 'changed_elsewhere', 'reindexed', 'failed']) {
        total[name] = reports.reduce((sum, it) => sum + (it[name] ?? 0), 0);
    }
    // A run whose time ran out leaves them for the next one to meet again.
    total.malformed = Math.max(...reports.map((it) => it.malformed ?? 0));
    total.failed_records = [...new Set(reports.flatMap((it) => it.failed_records ?? []))];
    return total;
}

/** What the dialog shows. `phase` is `counting`, `counted`, `cleaning`, `cleaned` or `failed`. */
function dialogView({ phase, dryRunOnly, preview, reports, failure, doing }) {
    const title = dryRunOnly ? 'Dry run' : 'Clean up';
    const view = { title, busy: false, counts: [], notes: [], close: 'Close', confirm: null };
    if (phase === 'counting') {
        return { ...view, busy: true, close: 'Cancel', status: 'Counting what a cleanup would do. Nothing is changed.' };
    }
    if (phase === 'counted') {
        const nothing = preview.complete && COUNTS.every((name) => preview[name] === 0);
        const shown = { ...view, notes: notes(preview),
            counts: nothing ? [] : counts(preview, ['to deactivate', 'to delete']) };
        if (!preview.complete) shown.notes.unshift('The time ran out before all was counted: there may be more to do.');
        if (nothing) return { ...shown, status: 'Nothing is due. A cleanup now would change nothing.' };
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
        return { ...view, counts: counts(done, ['deactivated', 'deleted']), notes: notes(done),
            confirm: last.complete ? null : 'Go on',
            status: last.complete ? (outcome(done).kind === 'failed' ? 'The cleanup is through, but not all went well.'
                : `Done in ${took(last.duration_ms)}.`)
                : 'The time ran out with work left. What is counted here is done; go on for the rest, '
                    + 'or leave it to the next scheduled run.' };
    }
    return { ...view, status: failureWords(failure, doing).join(' '),
        counts: done ? counts(done, ['deactivated', 'deleted']) : [] };
}

// --- The chart -----------------------------------------------------------------------------

/** The least round number that is not below `value`. */
function roundTop(value) {
    const scale = 10 ** Math.floor(Math.log10(Math.max(1, value)));
    return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * scale).find((step) => step >= value);
}

/** Where everything is, for a chart of this width: runs side by side, a panel for each measure. */
function chartLayout(runs, width) {
    const measures = [
        { name: 'Sessions deactivated', className: 'deactivated', of: (run) => run.sessions_deactivated },
        { name: 'Records deleted', className: 'deleted', of: deletedBy },
    ];
    const tops = measures.map(({ of }) => roundTop(Math.max(...runs.map(of))));
    const left = 14 + 7 * Math.max(...tops.map((top) => formatNumber(top).length));
    const slot = Math.max(1, Math.min((width - left) / Math.max(runs.length, 12), 56));
    const x = (index) => left + index * slot;
    const height = 92;
    const panels = measures.map(({ name, className, of }, at) => {
        const top = tops[at];
        const base = 28 + height + at * (height + 46);
        const y = (value) => base - (value / top) * height;
        return {
            name, className, base,
            ticks: [0, ...(top % 2 === 0 ? [top / 2] : []), top].map((value) => ({ y: y(value), text: formatNumber(value) })),
            bars: runs.map((run, index) => ({ x: x(index) + slot * 0.14, width: slot * 0.72, value: of(run),
                // What is not nothing can be seen.
                height: of(run) === 0 ? 0 : Math.max(2, base - y(of(run))) })),
        };
    });
    const marksAt = panels.at(-1).base + 14;
    const every = Math.ceil(64 / slot);
    let day = '';
    const labels = runs.flatMap((run, index) => {
        if (index % every !== 0) return [];
        const time = new Date(run.started_at);
        const changed = formatDay(time) !== day;
        day = formatDay(time);
        return [{ x: x(index) + slot / 2, hour: formatHour(time), day: changed ? day : '' }];
    });
    return { width, height: marksAt + 48, left, slot, right: left + slot * Math.max(runs.length, 12), panels, labels,
        labelsAt: marksAt + 26, marks: runs.map((run, index) => ({ x: x(index) + slot / 2, y: marksAt, kind: outcome(run).kind })),
        runAt: (point) => Math.floor((point - left) / slot) };
}

function svg(name, attributes = {}, ...children) {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
}

/** A cross for a failed run, a triangle for an incomplete one: told apart without colour. */
function mark(kind, x, y) {
    const path = kind === 'failed' ? `M${x - 4},${y - 4}l8,8m0,-8l-8,8` : `M${x},${y - 5}l5.5,10h-11z`;
    return svg('path', { class: `${kind}-mark`, d: path });
}

function drawChart(layout) {
    const drawing = svg('svg', { role: 'img', 'aria-labelledby': 'chart-heading', 'aria-describedby': 'chart-summary',
        height: layout.height, viewBox: `0 0 ${layout.width} ${layout.height}` });
    drawing.append(svg('rect', { class: 'here', y: 20, width: layout.slot, height: layout.height - 52, visibility: 'hidden' }));
    for (const panel of layout.panels) {
        drawing.append(svg('text', { class: 'title', x: 0, y: panel.ticks.at(-1).y - 14 }, panel.name));
        for (const { y, text } of panel.ticks) {
            drawing.append(
                svg('line', { class: y === panel.base ? 'base' : 'grid', x1: layout.left, x2: layout.right, y1: y, y2: y }),
                svg('text', { x: layout.left - 8, y: y + 4, 'text-anchor': 'end' }, text),
            );
        }
        for (const bar of panel.bars.filter((it) => it.height > 0)) {
            drawing.append(svg('rect', { class: panel.className, x: bar.x, y: panel.base - bar.height,
                width: bar.width, height: bar.height, 'data-value': bar.value }));
        }
    }
    for (const { x, y, kind } of layout.marks) if (kind !== 'complete') drawing.append(mark(kind, x, y));
    for (const { x, hour, day } of layout.labels) {
        drawing.append(svg('text', { x, y: layout.labelsAt, 'text-anchor': 'middle' }, hour),
            svg('text', { x, y: layout.labelsAt + 15, 'text-anchor': 'middle' }, day));
    }
    return drawing;
}

// --- The document --------------------------------------------------------------------------

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

function showStatistics(statistics) {
    const view = statisticsView(statistics, Date.now());
    for (const name of ['need', 'live', 'expired', 'inactive', 'total', 'oldest']) setText(name, view[name]);
    setText('oldest-note', view.oldestNote);
    setText('malformed', view.malformed);
    byId('malformed').hidden = !view.malformed;
    byId('last').replaceChildren(view.last ? timeElement(view.last) : 'None');
    setText('last-note', view.lastNote);
    document.querySelector('.need').classList.toggle('needed', view.needed);
    byId('expired-panel').classList.toggle('some', view.needed);
}

function reportRow(report) {
    const { kind, words, reason } = outcome(report);
    const started = element('th', '', timeElement(report.started_at));
    started.scope = 'row';
    const result = element('td', '', element('span', kind, words));
    if (report.dry_run) result.prepend(element('span', 'tag', 'Dry run'), ' ');
    if (reason) result.append(element('span', 'reason', reason));
    if (report.adoption_percent != null) {
        result.append(element('span', 'reason', `Adoption: ${formatNumber(report.adoption_percent)} % of the table`));
    }
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

let charted = [];
let dryRuns = 0;

function redrawChart() {
    const place = byId('chart');
    if (charted.length === 0) {
        place.replaceChildren(element('p', 'empty', dryRuns ? 'Only dry runs are among the last reports.' : 'There is no report of a cleanup.'));
        setText('readout', '');
        return;
    }
    const layout = chartLayout(charted, place.clientWidth);
    const drawing = drawChart(layout);
    const here = drawing.querySelector('.here');
    const kinds = [['failed', 'failed'], ['incomplete', 'incomplete: the time ran out']]
        .filter(([kind]) => layout.marks.some((it) => it.kind === kind));
    const legend = element('p', 'legend quiet', ...kinds.map(([kind, words]) =>
        element('span', '', svg('svg', { width: 16, height: 12, 'aria-hidden': 'true' }, mark(kind, 6, 6)), words)));
    // Its height is there from the beginning, so that nothing jumps; for pointers alone, for the table says the same.
    const hint = 'Point at a run, or tap it, to read its figures.';
    const point = (event) => {
        const index = layout.runAt(event.clientX - drawing.getBoundingClientRect().left);
        const run = event.type === 'pointerleave' ? null : charted[index];
        here.setAttribute('visibility', run ? 'visible' : 'hidden');
        if (run) here.setAttribute('x', layout.left + index * layout.slot);
        setText('readout', run ? readout(run) : hint);
    };
    drawing.addEventListener('pointermove', point);
    drawing.addEventListener('pointerdown', point);
    // A finger leaves when it is lifted, and would take the figures with it.
    drawing.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && point(event));
    place.replaceChildren(drawing, ...(kinds.length ? [legend] : []));
    setText('readout', hint);
}

function showReports(reports) {
    const real = reports.filter((it) => !it.dry_run).slice(0, CHARTED_RUNS);
    // As far back as the chart, so that the table can stand for it.
    const shown = real.length < CHARTED_RUNS ? reports : reports.slice(0, reports.indexOf(real.at(-1)) + 1);
    charted = real.toReversed();
    dryRuns = shown.length - real.length;
    setText('chart-summary', chartSummary(charted, dryRuns));
    byId('reports').replaceChildren(...shown.map(reportRow));
    byId('reports-panel').hidden = shown.length === 0;
    redrawChart();
}

function showFailure([headline, advice]) {
    const notice = element('div', 'notice', element('strong', '', headline), ' ', advice);
    // The same again is not said again.
    if (byId('alert').textContent !== notice.textContent) byId('alert').replaceChildren(notice);
}

// --- What happens when ---------------------------------------------------------------------

const api = createApi(location.pathname.replace(/\/+$/, ''));
let timer = 0;
let refreshing = null;
let refreshedAt = 0;
// Counts the tokens, so that an answer to a forgotten one is not shown.
let visit = 0;

function showSignIn(words) {
    api.forget();
    visit += 1;
    // What was asked with this token is not waited for with the next.
    refreshing = null;
    clearTimeout(timer);
    if (byId('dialog').open) closeDialog();
    for (const id of ['session', 'dashboard', 'footer']) byId(id).hidden = true;
    byId('sign-in').hidden = false;
    // What was read with the token goes with it.
    charted = [];
    byId('dashboard').classList.remove('stale');
    byId('reports').replaceChildren();
    byId('chart').replaceChildren();
    for (const id of ['live', 'expired', 'inactive', 'total', 'oldest', 'last']) setText(id, '–');
    for (const id of ['oldest-note', 'last-note', 'chart-summary', 'readout', 'status']) setText(id, '');
    setText('need', 'The sessions are being counted …');
    byId('malformed').hidden = true;
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

/** Reads everything anew. One at a time: a call meanwhile waits for the one that is under way. */
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

/** Whoever asks for it is told of it, also by ear. */
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
        // A table may be too large to be counted in time. What its runs did can be shown all the same.
        if (answers[1].status === 'fulfilled') showReports(answers[1].value);
        markStale(words);
        return;
    }
    const first = refreshedAt === 0;
    const wasStale = byId('dashboard').classList.contains('stale');
    refreshedAt = Date.now();
    byId('dashboard').classList.remove('stale');
    byId('alert').replaceChildren();
    showStatistics(answers[0].value);
    showReports(answers[1].value);
    sayRefreshed(false);
    // Said once, and not at each refresh.
    if (first) setText('status', `Is a cleanup needed? ${byId('need').textContent}`);
    else if (wasStale) setText('status', 'The numbers are up to date again.');
}

// A refusal meanwhile would hide what becomes of the run, which refreshes at its end.
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
    // The safe answer has the focus, and the heading while there is none.
    byId(view.close === null ? 'dialog-heading' : 'dialog-close').focus();
}

function closeDialog() {
    dialog.stop?.abort();
    dialog = { phase: 'closed' };
    clearInterval(ticking);
    byId('dialog').close();
}

/** Carries a call out for the dialog; what comes after it was closed, or the token forgotten, is not shown. */
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
        // What was under way before the run knows nothing of it.
        if (mine === visit) await Promise.resolve(refreshing).then(() => mine === visit && refresh());
    }
}

function count(dryRunOnly) {
    const stop = new AbortController();
    const state = { phase: 'counting', dryRunOnly, reports: [], stop };
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
// A browser may close it all the same, at the second Escape.
byId('dialog').addEventListener('close', () => {
    if (dialog.phase !== 'closed') showDialog(dialog);
});
document.addEventListener('visibilitychange', () => {
    if (!api.hasToken() || isAtWork()) return;
    if (document.hidden || Date.now() - refreshedAt < REFRESH_MS) schedule();
    else refresh();
});
// A stack on this machine answers without a network, too: asking tells.
for (const change of ['online', 'offline']) {
    window.addEventListener(change, () => api.hasToken() && !document.hidden && !isAtWork() && refresh());
}
// A browser may keep a page that was left, for whoever goes back to it.
window.addEventListener('pagehide', () => api.hasToken() && showSignIn());

let drawnWidth = 0;
new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === drawnWidth || charted.length === 0) return;
    drawnWidth = contentRect.width;
    redrawChart();
}).observe(byId('chart'));

setText('zone', Intl.DateTimeFormat().resolvedOptions().timeZone);
showSignIn();
