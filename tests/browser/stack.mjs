// Starts the stack with `cargo local` on free ports of this machine, and writes test data into its table.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';

const root = new URL('../../', import.meta.url);
const target = process.env.CARGO_TARGET_DIR ?? new URL('target', root).pathname;
const binary = process.env.SESSION_CLEANUP_LOCAL ?? `${target}/debug/session-cleanup-local`;

/** Starts a stack. It contains the sample unless `--empty` is given. Call its `stop` at the end. */
export async function startStack(...more) {
    const flags = ['--port', '0', '--dynamodb-port', '0', '--every', '24h', '--ttl-every', '24h'];
    const child = spawn(binary, ['local', ...flags, ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    let stderr = '';
    child.stderr.on('data', (text) => { stderr += text; });
    const stack = { tokens: {}, stop: () => { child.kill('SIGTERM'); return ended; } };
    for await (const line of createInterface({ input: child.stdout })) {
        const text = line.replace(/\x1b\[[\d;]*m/g, '');
        const [, name, token] = /^export (READER|ADMIN)=(\S+)/.exec(text) ?? [];
        if (token) stack.tokens[name.toLowerCase()] = token;
        stack.origin ??= /^ +API +(http:\S+)/.exec(text)?.[1];
        stack.dynamodb ??= /^ +DynamoDB +(http:[^,\s]+)/.exec(text)?.[1];
        const [, user, session] = /--user (\S+) --session (\S+)/.exec(text) ?? [];
        if (session) stack.tokens.expiredSession = await tokenFor(stack, { user, session });
        // The last line that it prints.
        if (/^http:\S+\/monitoring$/.test(text)) {
            const claims = JSON.parse(Buffer.from(stack.tokens.reader.split('.')[1], 'base64url'));
            const reader = { user: claims.sub, session: claims.sid };
            stack.tokens.expiredToken = await tokenFor(stack, { ...reader, expired: true });
            // The stack would block on a full pipe.
            child.stdout.resume();
            return stack;
        }
    }
    throw new Error(`${binary} ended before it was ready: ${stderr}`);
}

/** Creates a token for a reader, as `cargo local token` does. */
async function tokenFor(stack, options) {
    const body = JSON.stringify({ scope: 'sessions:read', hours: 12, ...options });
    const answer = await fetch(`${stack.origin}/local/tokens`, { method: 'POST', body });
    if (!answer.ok) throw new Error(`tokens: ${answer.status} ${await answer.text()}`);
    return (await answer.json()).token;
}

/** Calls the API directly, without the page. */
export async function fetchFromApi(stack, path, holder = 'admin') {
    const answer = await fetch(`${stack.origin}/api/v1/monitoring/sessions/${path}`, {
        headers: { Authorization: `Bearer ${stack.tokens[holder]}` },
    });
    return (await answer.json()).data;
}

/** The active sessions of a user, from the API. */
export async function sessionsOf(stack, user) {
    const answer = await fetch(`${stack.origin}/api/v1/monitoring/users/${encodeURIComponent(user)}/sessions?limit=100`, {
        headers: { Authorization: `Bearer ${stack.tokens.admin}` },
    });
    return (await answer.json()).data.sessions;
}

/** Waits until the API counts `total` sessions: it caches a count for some seconds. */
export async function untilCounted(stack, total) {
    while ((await fetchFromApi(stack, 'stats')).total_sessions !== total) await setTimeout(200);
}

/** Overrides members of the stack's statistics. */
export const overrideStatistics = (page, members) => page.route('**/sessions/stats', async (route) => {
    const answer = await (await route.fetch()).json();
    Object.assign(answer.data, members);
    await route.fulfill({ json: answer });
});

/** Replaces the stack's reports with these, newest first. */
export const respondWithReports = (page, reports) => page.route('**/sessions/cleanups*', (route) =>
    route.fulfill({ json: { success: true, data: { reports, next: null } } }));

const HOUR = 3_600_000;

/**
 * Reports of hourly runs until `until`, newest last, of a service whose users log in during the day. One run failed,
 * one ran out of time, and one is a dry run.
 */
export function twoDaysOfReports(until) {
    const reports = Array.from({ length: 48 }, (_, index) => {
        const started = new Date(until - (47 - index) * HOUR);
        const daily = 1 + Math.sin(((started.getUTCHours() - 8) / 24) * 2 * Math.PI);
        const wobble = (index * 37) % 11;
        const counts = {
            sessions_deactivated: Math.round(21 * daily + wobble + 2),
            sessions_deleted: Math.round(6 * daily + ((index * 5) % 7) / 2),
            refresh_tokens_deleted: Math.round(9 * daily + wobble / 2),
            blacklisted_tokens_deleted: (index * 13) % 5,
        };
        const [deactivated, ...deleted] = Object.values(counts);
        return report(started, {
            ...counts,
            // The capacity that DynamoDB reports: docs/topics/console.md.
            capacity_units: 80 + 3 * deactivated + 2 * deleted.reduce((sum, count) => sum + count),
            duration_ms: 310 + 7 * wobble + 4 * deactivated,
        });
    });
    Object.assign(reports[19], { failed: 25, duration_ms: 61_204, error: 'The table did not take 25 writes in time' });
    Object.assign(reports[33], { complete: false, duration_ms: 840_007 });
    reports.push({ ...report(new Date(until - 5.4 * HOUR)), dry_run: true, trigger: 'manual', sessions_deactivated: 17 });
    return reports;
}

export function report(started, members = {}) {
    return {
        run_id: randomUUID(), trigger: 'schedule', requested_by: null, dry_run: false,
        started_at: started.toISOString(), duration_ms: 1_480, complete: true,
        sessions_deactivated: 0, sessions_deleted: 0, refresh_tokens_deleted: 0, blacklisted_tokens_deleted: 0,
        changed_elsewhere: 0, reindexed: 0, adopted: 0, malformed: 0, failed: 0, capacity_units: 358,
        ...members,
    };
}

/** Writes reports into the table as the functions do (shared/lifecycle/src/dynamodb/report_item.rs). */
export async function storeReports(stack, reports) {
    await put(stack, reports.map((it) => ({
        pk: 'CLEANUP', sk: `RUN#${it.started_at}#${it.run_id}`,
        ttl: Math.floor(Date.parse(it.started_at) / 1_000) + 90 * 86_400, ...it,
    })));
}

let written = 0;

/** Writes active sessions of other users. Each number is the seconds until the session expires; a negative one has expired. */
export async function storeActiveSessions(stack, lifetimes) {
    const now = Math.floor(Date.now() / 1_000);
    await put(stack, lifetimes.map((seconds) => ({
        ...session('deactivate'), is_active: true, created_at: now + seconds - 8 * 3_600, expires_at: now + seconds,
        due_at: now + seconds, ttl: now + seconds + 30 * 86_400,
    })));
}

/** Writes inactive sessions. Each number is the seconds since the session was deactivated. */
export async function storeInactiveSessions(stack, ages) {
    const now = Math.floor(Date.now() / 1_000);
    await put(stack, ages.map((age) => ({
        ...session('delete'), is_active: false, created_at: now - age - 3_600, expires_at: now - age + 7 * 3_600,
        deactivated_at: now - age, deactivation_reason: 'logout',
        due_at: now - age + 30 * 86_400, ttl: now - age + 30 * 86_400,
    })));
}

/** Writes sessions of one user, oldest first, with these members. `inactive` sets the reason of an inactive one. */
export async function storeUserSessions(stack, user, sessions) {
    const now = Math.floor(Date.now() / 1_000);
    await put(stack, sessions.map(({ inactive, ...members }, index) => {
        const created_at = members.created_at ?? now - 7_200 + index;
        const it = {
            ...session(inactive ? 'delete' : 'deactivate'), pk: `USER#${user}`, user_id: user, is_active: !inactive, created_at,
            expires_at: now + 8 * 3_600, due_at: now + 8 * 3_600, ttl: now + 30 * 86_400, ...members,
        };
        if (inactive) Object.assign(it, { deactivated_at: now - 60, deactivation_reason: inactive });
        return { ...it, sk: `SESSION#${it.session_id}` };
    }));
}

function session(due) {
    written += 1;
    const [user, id] = [`user-${written}`, `s-${written}`];
    return { pk: `USER#${user}`, sk: `SESSION#${id}`, user_id: user, session_id: id,
        due_key: `${due}#${String(written % 16).padStart(2, '0')}` };
}

const attribute = (value) => {
    if (value === null) return { NULL: true };
    if (typeof value === 'boolean') return { BOOL: value };
    return typeof value === 'number' ? { N: String(value) } : { S: value };
};

async function put(stack, items) {
    const requests = items.map((item) => ({
        PutRequest: { Item: Object.fromEntries(Object.entries(item).map(([name, value]) => [name, attribute(value)])) },
    }));
    // The maximum size of a batch.
    for (let at = 0; at < requests.length; at += 25) {
        const answer = await fetch(stack.dynamodb, {
            method: 'POST',
            headers: {
                'Content-Type': 'application/x-amz-json-1.0',
                'X-Amz-Target': 'DynamoDB_20120810.BatchWriteItem',
                // The local DynamoDB requires these headers and does not check them.
                'X-Amz-Date': '20260101T000000Z',
                Authorization: 'AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/aws4_request, '
                    + 'SignedHeaders=host, Signature=x',
            },
            body: JSON.stringify({ RequestItems: { sessions: requests.slice(at, at + 25) } }),
        });
        if (!answer.ok) throw new Error(`DynamoDB: ${answer.status} ${await answer.text()}`);
    }
}
