// The sessions of a user.

const SESSIONS_PER_PAGE = 25;

// The user whose sessions are shown, with these sessions, or null.
let found = null;
// The request whose answer is to be shown. The answer to an earlier one is not.
let asked = null;

function sessionRow(session) {
    const { user } = found;
    const device = deviceName(session.user_agent);
    const name = element('th', 'device', device);
    name.scope = 'row';
    if (isOwnSession(known.statistics?.caller, user, session)) name.append(' ', element('span', 'tag', 'your token'));
    const time = (iso, none) => (Number.isNaN(timeOf(iso)) ? none : timeElement(iso));
    const state = session.is_active ? [element('span', 'tag', 'live')]
        : [`inactive: ${reasonOf(session)}`, ...(session.deactivated_at ? [', ', timeElement(session.deactivated_at)] : [])];
    const which = `${device}, created ${formatTime(new Date(session.created_at))}`;
    const open = () => showDetails('Session', { user_id: user, ...session }, 'session_id');
    const buttons = [button('Details', `Details of ${which}`, open)];
    if (session.is_active) {
        const revoke = button('Revoke …', `Revoke … ${which}`, () => askRevoke(session));
        revoke.classList.add('revoke');
        revoke.disabled = !mayChange;
        revoke.setAttribute('aria-describedby', 'read-only-user');
        buttons.unshift(revoke);
    }
    return element('tr', session.is_active ? '' : 'dry', name, cell('Address', '', others(session.ip_address ?? '–')),
        cell('Created', '', time(session.created_at, '–')), cell('Last used', '', time(session.last_used_at, 'not recorded')),
        cell('End', '', time(session.expires_at, '–')), cell('State', 'outcome', ...state), cell('', 'buttons', ...buttons));
}

function showFound() {
    setText('user-heading', `Sessions of ${others(found.user)}`);
    byId('user-sessions').hidden = found.sessions.length === 0;
    setRows(byId('sessions'), found.sessions.map(sessionRow));
    byId('older-sessions').hidden = !found.next;
}

function sayFound(words, isFailure) {
    setText('user-status', words);
    byId('user-status').className = isFailure ? 'failed' : 'quiet';
}

/** Reads a page of sessions, and shows it below the sessions of `state`. */
async function readSessions(state) {
    const mine = visit;
    asked = state;
    sayFound('Reading the sessions …');
    try {
        const include = state.isAll ? 'inactive' : '';
        const { sessions, next } = await api.sessions(state.user, { include, limit: SESSIONS_PER_PAGE, cursor: state.next });
        if (mine !== visit || asked !== state) return;
        found = { ...state, sessions: [...state.sessions, ...sessions], next };
        showFound();
        sayFound(`${foundWords(found)} As of ${formatClock(Date.now())}.`);
    } catch (failure) {
        if (!(failure instanceof CallFailed)) throw failure;
        if (mine !== visit || asked !== state) return;
        const words = failureWords(failure, 'show');
        if (failure.status === 401) showSignIn(words);
        else sayFound(words.join(' '), true);
    }
}

function forgetUser() {
    found = null;
    asked = null;
    byId('user-sessions').hidden = true;
    byId('older-sessions').hidden = true;
    byId('sessions').replaceChildren();
    setText('user-heading', '');
    sayFound('');
}

async function findUser(event) {
    event.preventDefault();
    const user = byId('user').value.trim();
    forgetUser();
    if (user) await readSessions({ user, isAll: byId('include-inactive').checked, sessions: [], next: null });
    else {
        sayFound('Enter a user id.', true);
        byId('user').focus();
    }
}

/** Reads the sessions again from the newest, if those of this user are shown. */
const readAgain = (user) => found?.user === user && readSessions({ ...found, sessions: [], next: null });

async function showOlderSessions() {
    const last = found.sessions.length;
    await readSessions(found);
    if (found) focusRow('sessions', last, 'older-sessions');
}

function replaceSession(user, session) {
    if (found?.user !== user) return;
    found.sessions = found.sessions.map((it) => (it.session_id === session.session_id ? session : it));
    showFound();
}
