// Events: sign-in, refresh and the dialog.

const REFRESH_MS = 30_000;

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
