// Texts about the sessions of a user, as functions of the responses.

// The first that matches. Most browsers also claim to be an older one, so the newer names are first.
const BROWSERS = [
    ['Edge', /\bEdg(?:e|A|iOS)?\/(\d+)/], ['Opera', /\b(?:OPR|OPiOS)\/(\d+)/], ['Samsung Internet', /\bSamsungBrowser\/(\d+)/],
    ['Firefox', /\b(?:Firefox|FxiOS)\/(\d+)/], ['Chrome', /\b(?:HeadlessChrome|Chrome|CriOS)\/(\d+)/],
    ['Safari', /\bVersion\/(\d+)\S* (?:Mobile\/\S+ )?Safari\//],
];
const SYSTEMS = [
    ['iPhone', /\biPhone\b/], ['iPad', /\biPad\b/], ['Android', /\bAndroid\b/], ['ChromeOS', /\bCrOS\b/],
    ['Windows', /\bWindows\b/], ['macOS', /\bMac(?:intosh| OS X)\b/], ['Linux', /\b(?:Linux|X11)\b/],
];

/** Short name of a device, such as `Firefox 132 on Windows`. Another program has the name of its first product. */
function deviceName(userAgent) {
    if (!userAgent?.trim()) return 'Unknown device';
    const browser = BROWSERS.map(([name, pattern]) => [name, pattern.exec(userAgent)]).find(([, found]) => found);
    const system = SYSTEMS.find(([, pattern]) => pattern.test(userAgent))?.[0];
    const first = userAgent.trim().split(/[\s(]/)[0].replace('/', ' ').slice(0, 40);
    // Every browser calls itself Mozilla.
    const program = browser ? `${browser[0]} ${browser[1][1]}` : /^(Mozilla|$)/.test(first) ? 'Unknown browser' : first;
    return others(system ? `${program} on ${system}` : program);
}

const REASONS = {
    expired_on_validation: 'expired, found at a request',
    expired_by_cleanup: 'expired',
    logout: 'signed out',
    revoked: 'revoked',
    refresh_reused: 'an old refresh token was used again',
};

const reasonOf = ({ deactivation_reason: reason }) => (reason ? others(REASONS[reason] ?? reason) : 'no reason recorded');

/** Whether it is the session of the page's own token. */
const isOwnSession = (caller, user, session) => caller?.user_id === user && caller.session_id === session.session_id;

/** Sentence about the sessions that are shown. */
function foundWords({ user, sessions, isAll, next }) {
    const known = sessions.filter((it) => it.is_active).length;
    const inactive = sessions.length - known;
    if (sessions.length === 0 && !next) {
        return isAll ? `${others(user)} has no sessions. The user id must match exactly.`
            : `${others(user)} has no live sessions. The user id must match exactly.`;
    }
    const counts = [plural(known, 'live session'), ...(inactive > 0 ? [`${formatNumber(inactive)} inactive`] : [])].join(', ');
    return `${counts}${next ? ', and older ones that are not shown yet' : ''}.`;
}

/** How often each device is among these sessions. */
function deviceCounts(sessions) {
    const counts = new Map();
    for (const it of sessions) {
        const name = deviceName(it.user_agent);
        counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts].map(([name, count]) => (count > 1 ? `${name} (${formatNumber(count)})` : name)).join(', ');
}

/**
 * Content of the dialog that revokes one session of a user, or all. `phase` is `counting`, `counted`, `working`, `done` or
 * `failed`.
 */
function revokeView({ phase, user, session, active, isAll, caller, answer, failure, doing }) {
    const title = session ? 'Revoke a session' : 'Revoke all sessions of a user';
    const view = { title, busy: false, counts: [['User', others(user)]], notes: [], close: 'Close', confirm: null };
    if (session) {
        view.counts.push(['Device', deviceName(session.user_agent)], ['Address', others(session.ip_address ?? 'not recorded')],
            ['Created', formatTime(new Date(session.created_at))], ['Session', others(session.session_id)]);
    } else if (active) {
        const number = `${isAll ? '' : 'at least '}${formatNumber(active.length)}`;
        view.counts.push(['Live sessions', number], ['Devices', deviceCounts(active)]);
    }
    const onlyUser = view.counts.slice(0, 1);
    if (phase === 'counting') {
        return { ...view, busy: true, close: 'Cancel', status: 'Counting the live sessions. Nothing is changed.' };
    }
    if (phase === 'counted') {
        const revoked = session ? [session] : active;
        if (revoked.length === 0) return { ...view, counts: onlyUser, status: 'No session is live. There is nothing to revoke.' };
        if (revoked.some((it) => isOwnSession(caller, user, it))) {
            view.notes.push('Your own token belongs to one of them. To use this page afterwards, you need another token.');
        }
        const isOne = session || (isAll && active.length === 1);
        const all = isAll ? `all ${formatNumber(active.length)} sessions` : 'all sessions';
        const [what, their] = isOne ? ['1 session', 'Its'] : [all, 'Their'];
        return { ...view, close: 'Cancel', confirm: session ? 'Revoke 1 session' : 'Revoke all',
            status: `This signs the user out of ${what}. ${their} tokens are denied from the next request on. It cannot be undone.` };
    }
    if (phase === 'working') return { ...view, busy: true, close: null, status: 'Revoking. It continues if you close this page.' };
    if (phase === 'failed') return { ...view, status: failureWords(failure, doing).join(' ') };
    if (!session) return { ...view, counts: onlyUser, status: `${plural(answer.revoked, 'session')} revoked.` };
    return { ...view, status: answer.deactivation_reason === 'revoked' ? '1 session revoked.'
        : `The session was already inactive: ${reasonOf(answer)}.` };
}

/** What the token allows, and how long it is valid. `isEnding` is whether that is less than five minutes. */
function tokenView(caller, expiry, now) {
    const left = expiry === null ? null : expiry - now;
    const life = left === null ? '' : left <= 0 ? 'token has expired' : `token expires in ${duration(left / 1_000, 1)}`;
    const role = caller && (caller.is_admin ? 'admin' : 'read only');
    return { words: [role, life].filter(Boolean).join(', '), isEnding: left !== null && left < 5 * 60_000 };
}
