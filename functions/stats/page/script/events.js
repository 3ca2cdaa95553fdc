// Events: sign-in and refresh.

const REFRESH_MS = 30_000;
// How often the rest of the token's lifetime is shown.
const CALLER_MS = 10_000;

const api = createApi(location.pathname.replace(/\/+$/, ''));
let timer = 0;
let refreshing = null;
let refreshedAt = 0;
// Changes with each token. Responses to requests with an earlier token are not shown.
let visit = 0;

function showSignIn(words) {
    api.forget();
    visit += 1;
    // The next token must not wait for requests of this one.
    refreshing = null;
    clearTimeout(timer);
    if (byId('dialog').open) closeDialog();
    byId('details').close();
    for (const id of ['session', 'dashboard', 'footer']) byId(id).hidden = true;
    byId('sign-in').hidden = false;
    // Removes all data that was read with this token.
    known = { ...NOTHING };
    chosen = null;
    list = PLAIN;
    rows = new Map();
    forgetUser();
    for (const form of ['find', 'filter']) byId(form).reset();
    byId('details-fields').replaceChildren();
    byId('details-copy').onclick = null;
    for (const id of ['dialog-counts', 'dialog-notes']) byId(id).replaceChildren();
    showCaller();
    byId('dashboard').classList.remove('stale');
    byId('reports').replaceChildren();
    byId('chart').replaceChildren();
    for (const id of ['live', 'expired', 'inactive', 'total', 'oldest', 'last']) setText(id, '–');
    for (const id of ['oldest-note', 'last-note', 'next', 'next-note', 'advice', 'chart-summary', 'readout', 'status', 'reports-status']) setText(id, '');
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
    allowChanges(null);
    showCaller();
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
        if (answers[1].status === 'fulfilled') showReports(answers[1].value.reports, answers[1].value.next);
        // Without an answer, the API decides when the user tries.
        allowChanges(known.statistics?.caller?.is_admin ?? true);
        markStale(words);
        return;
    }
    const first = refreshedAt === 0;
    const wasStale = byId('dashboard').classList.contains('stale');
    refreshedAt = Date.now();
    byId('dashboard').classList.remove('stale');
    byId('alert').replaceChildren();
    const [{ value: statistics }, { value: { reports, next } }] = answers;
    known.statistics = statistics;
    showStatistics(statistics, reports);
    showReports(reports, next);
    showCaller();
    allowChanges(statistics.caller?.is_admin ?? true);
    sayRefreshed(false);
    // Announced once, not at each refresh.
    if (first) setText('status', `Is a cleanup needed? ${byId('need').textContent}${
        byId('next-panel').classList.contains('some') ? ` Next cleanup: ${byId('next').textContent}.` : ''}`);
    else if (wasStale) setText('status', 'The numbers are up to date again.');
}

/** Shows all times in UTC or in the time zone of the browser. */
function selectTimeZone(utc) {
    const times = ['from', 'to'].map((id) => [id, timeOfInput(byId(id).value)]);
    isUtc = utc;
    for (const [id, time] of times) byId(id).value = inputOfTime(time);
    setText('zone', utc ? 'UTC' : LOCAL_ZONE);
    rows = new Map();
    if (known.statistics) showStatistics(known.statistics, known.reports);
    if (known.reports.length > 0) showList();
    redrawChart();
    if (found) showFound();
    if (refreshedAt > 0) sayRefreshed(byId('dashboard').classList.contains('stale'));
}

// No refresh during a run, because its failure would hide the result of the run. The run refreshes at its end.
const isAtWork = () => dialog.phase === 'counting' || dialog.phase === 'working';

function schedule() {
    clearTimeout(timer);
    if (api.hasToken() && !document.hidden && !refreshing && !isAtWork()) timer = setTimeout(refresh, REFRESH_MS);
}

byId('sign-in').addEventListener('submit', signIn);
byId('sign-out').addEventListener('click', () => showSignIn());
byId('refresh').addEventListener('click', refreshByHand);
byId('dry-run').addEventListener('click', () => count(true));
byId('clean-up').addEventListener('click', () => count(false));
byId('dialog-close').addEventListener('click', closeDialog);
byId('dialog-confirm').addEventListener('click', () => (dialog.user === undefined ? cleanUp() : revoke()));
byId('details-close').addEventListener('click', () => byId('details').close());
byId('find').addEventListener('submit', findUser);
byId('include-inactive').addEventListener('change', () => {
    if (found) readSessions({ user: found.user, isAll: byId('include-inactive').checked, sessions: [], next: null });
});
byId('older-sessions').addEventListener('click', showOlderSessions);
byId('revoke-all').addEventListener('click', askRevokeAll);
byId('filter').addEventListener('submit', filterReports);
byId('older-reports').addEventListener('click', showOlderReports);
byId('csv').addEventListener('click', downloadCsv);
byId('time-zone').addEventListener('change', () => selectTimeZone(byId('time-zone').value === 'utc'));
byId('dialog').addEventListener('cancel', (event) => {
    event.preventDefault();
    if (dialog.phase !== 'working') closeDialog();
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

setInterval(showCaller, CALLER_MS);
setText('zone', LOCAL_ZONE);
showSignIn();
