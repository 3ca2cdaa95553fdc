// Client of the API, and its errors.

// Longer than the timeout of API Gateway, 29 seconds. No response comes later.
const REQUEST_TIMEOUT_MS = 40_000;
const CHARTED_RUNS = 48;
// The chart omits dry runs, so 48 runs can need more than one page of 100 reports.
const MOST_PAGES = 3;
const MOST_CSV_PAGES = 100;
const MOST_SESSION_PAGES = 10;
const MOST_TRIES = 5;

/** Extracts the token from pasted text: with `Bearer`, a whole header or `curl` command, quotes or spaces. */
function tokenIn(pasted) {
    // An input field removes line breaks, so there may be no space between the scheme and the token.
    const afterBearer = /(?:^|[\s:'"])bearer\s*([^\s'"]+)/i.exec(pasted)?.[1];
    const token = (afterBearer ?? pasted).replace(/[\s'"]/g, '');
    // A header cannot contain other characters.
    return /^[\x21-\x7e]+$/.test(token) ? token : null;
}

/** Makes a call of a series. The API limits the rate of calls (429), so the call waits for its turn. */
async function inTurn(makeCall) {
    for (let tries = 1; ; tries += 1) {
        try {
            return await makeCall();
        } catch (failure) {
            if (failure.status !== 429 || tries === MOST_TRIES) throw failure;
            await new Promise((resolve) => { setTimeout(resolve, 1_000); });
        }
    }
}

/** The value of a JSON text, or null. */
function parse(text) {
    try {
        return JSON.parse(text);
    } catch {
        return null;
    }
}

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
const isSession = (it) => typeof it?.session_id === 'string' && typeof it.is_active === 'boolean';
const isSessionPage = (it) => Array.isArray(it?.sessions) && it.sessions.every(isSession);
const isRevocation = (it) => Number.isInteger(it?.revoked);

const queryOf = (parameters) => Object.entries(parameters).filter(([, value]) => value)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');

/** Expiry time that a token states, or null if it states none. Only the API verifies tokens. */
function expiryOf(token) {
    try {
        const { exp } = JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
        return Number.isFinite(exp) ? exp * 1_000 : null;
    } catch {
        return null;
    }
}

/** Client of the API below `base`. Only this closure holds the token. */
function createApi(base) {
    let token = null;

    /** Makes a request. Returns the response and its text. */
    async function send(method, path, accept, signal) {
        const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
        let response, text;
        try {
            response = await fetch(`${location.origin}${base}/${path}`, {
                method,
                headers: { Authorization: `Bearer ${token}`, Accept: accept },
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
        if (!response.ok) {
            const answer = parse(text);
            const reason = answer?.error ?? answer?.message;
            throw new CallFailed('status', response.status, typeof reason === 'string' ? reason : '');
        }
        return { response, text };
    }

    /** Makes a request for JSON. Returns its `data`. */
    async function call(method, path, isExpected, signal) {
        const { response, text } = await send(method, path, 'application/json', signal);
        const answer = parse(text);
        if (!isExpected(answer?.data)) throw new CallFailed('unexpected', response.status);
        return answer.data;
    }

    const reportPage = (parameters) => call('GET', `sessions/cleanups?${queryOf({ limit: 100, ...parameters })}`, isPage);

    async function reports() {
        const all = [];
        let next = null;
        for (let page = 0; page < MOST_PAGES; page += 1) {
            const answer = await reportPage({ cursor: next });
            all.push(...answer.reports);
            next = answer.next;
            if (!next || all.filter((it) => !it.dry_run).length >= CHARTED_RUNS) break;
        }
        return { reports: all, next };
    }

    /** The reports as CSV with one header line, and whether these are all. */
    async function csv(filter) {
        let text = '';
        let cursor = null;
        for (let page = 0; page < MOST_CSV_PAGES && (page === 0 || cursor); page += 1) {
            const path = `sessions/cleanups?${queryOf({ limit: 100, ...filter, cursor })}`;
            const answer = await inTurn(() => send('GET', path, 'text/csv'));
            const { headers, status } = answer.response;
            if (!headers.get('content-type')?.startsWith('text/csv')) throw new CallFailed('unexpected', status);
            text += page === 0 ? answer.text : answer.text.slice(answer.text.indexOf('\n') + 1);
            cursor = headers.get('x-next-cursor');
        }
        return { text, isAll: !cursor };
    }

    const userPath = (user) => `users/${encodeURIComponent(user)}/sessions`;
    const sessions = (user, parameters, signal) => call('GET', `${userPath(user)}?${queryOf(parameters)}`, isSessionPage, signal);

    /** The active sessions of a user, and whether these are all. */
    async function activeSessions(user, signal) {
        const active = [];
        let cursor = null;
        for (let page = 0; page < MOST_SESSION_PAGES && (page === 0 || cursor); page += 1) {
            const parameters = { limit: 100, cursor };
            const answer = await inTurn(() => sessions(user, parameters, signal));
            active.push(...answer.sessions.filter((it) => it.is_active));
            cursor = answer.next;
        }
        return { active, isAll: !cursor };
    }

    return {
        use: (given) => { token = given; },
        forget: () => { token = null; },
        hasToken: () => token !== null,
        expiry: () => expiryOf(token),
        statistics: () => call('GET', 'sessions/stats', isStatistics),
        reports,
        reportPage,
        csv,
        dryRun: (signal) => call('POST', 'sessions/cleanup?dry_run=true', isReport, signal),
        cleanUp: () => call('POST', 'sessions/cleanup', isReport),
        sessions,
        activeSessions,
        revoke: (user, session) => call('DELETE', `${userPath(user)}/${encodeURIComponent(session)}`, isSession),
        revokeAll: (user) => call('POST', `${userPath(user)}/revoke`, isRevocation),
    };
}

const DENIALS = {
    'Token expired': 'It has expired. Get a new one from your application.',
    'Session expired': 'Your session has expired. Log in to your application again.',
    'Session inactive': 'Your session has ended. Log in to your application again.',
    'Session not found': 'There is no such session. Log in to your application again.',
    'Token revoked': 'It was revoked. Log in to your application again.',
    'Invalid token': 'It may have been cut off, or belong to another system.',
    'Missing bearer token': 'Paste the token as your application gives it.',
};

// What a failed call may have done all the same.
const UNKNOWN = {
    clean: 'It is not known whether the cleanup did its work: see the reports before you start another.',
    revoke: 'It is not known whether sessions were revoked: press Find again.',
};

const FORBIDDEN = {
    read: ['This token may not read the sessions (403).', 'It needs the scope sessions:read or sessions:admin.'],
    revoke: ['This token may not revoke sessions (403).', 'That needs the scope sessions:admin.'],
};

/**
 * Headline and advice for a failure. `doing` is `read` (the refresh), `show` (other data), `count` (a dry run), `clean` or
 * `revoke`.
 */
function failureWords({ kind, status, reason }, doing) {
    const quoted = reason ? `: “${reason}”` : '';
    const again = doing === 'read' ? 'The next try is in 30 seconds.' : 'Try again later.';
    const next = UNKNOWN[doing] ?? again;
    if (kind === 'network') return ['No connection to the API.', next];
    if (kind === 'timeout') return ['The API did not answer in time.', next];
    if (kind === 'unexpected') {
        return ['The answer was not one of the API’s.', `Something between this page and the API may have answered. ${next}`];
    }
    if (status === 401) return [`The API rejected the token (401)${quoted}.`, DENIALS[reason] ?? 'Use another one.'];
    if (status === 403 && reason === 'Forbidden') {
        return FORBIDDEN[doing === 'show' ? 'read' : doing] ?? ['This token may not clean up (403).',
            'A cleanup, and a dry run too, needs the scope sessions:admin. With this token, you can go on reading.'];
    }
    if (status === 404 && doing === 'revoke') return ['This session does not exist any more (404).', 'Find the user again.'];
    if (status === 429) return [`Too many requests (429)${quoted}.`, `The API takes no more at the moment. ${again}`];
    if (status >= 500) return [`The API failed (${status})${quoted}.`, next];
    return [`The API rejected the request (${status})${quoted}.`, ''];
}
