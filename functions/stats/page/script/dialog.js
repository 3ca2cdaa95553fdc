// The dialog: a dry run, a cleanup, or the revocation of sessions.

let dialog = { phase: 'closed' };
let ticking = 0;
// The button that opened the dialog.
let opener = null;

function showDialog(state) {
    dialog = state;
    const view = (state.user === undefined ? cleanupView : revokeView)(state);
    setText('dialog-heading', view.title);
    setText('dialog-status', view.status);
    byId('dialog-status').className = state.phase === 'failed' ? 'failed' : '';
    byId('dialog-counts').replaceChildren(...view.counts.map(([name, count]) =>
        element('div', '', element('dt', '', name), element('dd', '', count))));
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
    if (!byId('dialog').open) {
        if (document.activeElement !== document.body) opener = document.activeElement;
        byId('dialog').showModal();
    }
    // Focuses the safe button, or the heading if there is no such button.
    byId(view.close === null ? 'dialog-heading' : 'dialog-close').focus();
}

function closeDialog() {
    dialog.stop?.abort();
    dialog = { phase: 'closed' };
    clearInterval(ticking);
    byId('dialog').close();
    // The browser returns the focus to the button that opened the dialog, unless that button is gone.
    if (opener && !opener.isConnected) byId('find-heading').focus();
}

/**
 * Makes a call for the dialog. A result that arrives after the dialog was closed or the token forgotten is not shown. If
 * it may have changed something, the page refreshes.
 */
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
        if (doing === 'show') schedule();
        // A refresh that started before the run does not include it, so another one follows.
        else if (mine === visit) await Promise.resolve(refreshing).then(() => mine === visit && refresh());
    }
}

function count(dryRunOnly) {
    const stop = new AbortController();
    const unseen = known.statistics && unseenNote(known.statistics, known.reports, Date.now());
    const state = { phase: 'counting', dryRunOnly, reports: [], stop, unseen };
    forDialog(state, 'count', () => api.dryRun(stop.signal), (preview) => ({ ...state, phase: 'counted', preview }));
}

function cleanUp() {
    const state = { ...dialog, phase: 'working', stop: null };
    forDialog(state, 'clean', api.cleanUp,
        (report) => ({ ...state, phase: 'done', reports: [...state.reports, report] }));
}

function askRevoke(session) {
    showDialog({ phase: 'counted', user: found.user, session, caller: known.statistics?.caller });
}

function askRevokeAll() {
    const stop = new AbortController();
    const { user } = found;
    const state = { phase: 'counting', user, session: null, stop, caller: known.statistics?.caller };
    forDialog(state, 'show', () => api.activeSessions(user, stop.signal), (answer) => ({ ...state, phase: 'counted', ...answer }));
}

function revoke() {
    const state = { ...dialog, phase: 'working', stop: null };
    const { user, session } = state;
    const call = () => (session ? api.revoke(user, session.session_id) : api.revokeAll(user));
    forDialog(state, 'revoke', call, (answer) => {
        if (session) replaceSession(user, answer);
        else readAgain(user);
        return { ...state, phase: 'done', answer };
    });
}
