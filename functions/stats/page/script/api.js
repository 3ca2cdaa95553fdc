// Client of the API, and its errors.

// Longer than the timeout of API Gateway, 29 seconds. No response comes later.
const REQUEST_TIMEOUT_MS = 40_000;
const CHARTED_RUNS = 48;
// The chart omits dry runs, so 48 runs can need more than one page of 100 reports.
const MOST_PAGES = 3;

/** Extracts the token from pasted text: with `Bearer`, a whole header or `curl` command, quotes or spaces. */
function tokenIn(pasted) {
    // An input field removes line breaks, so there may be no space between the scheme and the token.
    const afterBearer = /(?:^|[\s:'"])bearer\s*([^\s'"]+)/i.exec(pasted)?.[1];
    const token = (afterBearer ?? pasted).replace(/[\s'"]/g, '');
    // A header cannot contain other characters.
    return /^[\x21-\x7e]+$/.test(token) ? token : null;
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

const DENIALS = {
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
    if (status === 401) return [`The API rejected the token (401)${quoted}.`, DENIALS[reason] ?? 'Use another one.'];
    if (status === 403 && reason === 'Forbidden') {
        return doing === 'read'
            ? ['This token may not read the sessions (403).', 'It needs the scope sessions:read or sessions:admin.']
            : ['This token may not clean up (403).', 'A cleanup, and a dry run too, needs the scope sessions:admin. '
                + 'With this token, you can go on reading.'];
    }
    if (status === 429) return [`Too many requests (429)${quoted}.`, `The API takes no more at the moment. ${again}`];
    if (status >= 500) return [`The API failed (${status})${quoted}.`, doing === 'clean' ? unknown : again];
    return [`The API rejected the request (${status})${quoted}.`, ''];
}
