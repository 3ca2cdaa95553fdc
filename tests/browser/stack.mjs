// The real stack, as `cargo local` serves it, on free ports of this machine; and what a test writes into its table.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';

const root = new URL('../../', import.meta.url);
const binary = process.env.SESSION_CLEANUP_LOCAL ?? new URL('target/debug/session-cleanup-local', root).pathname;

/** Who holds each token, by the line that the stack prints above it. */
const HOLDERS = {
    reader: 'statistics, as a reader',
    admin: 'clean up, as administrator',
    expiredSession: 'a user whose session has expired',
    expiredToken: 'a reader whose token has expired',
};

/** Starts a stack with the sample in it. Give it to `stop` in the end. */
export async function startStack() {
    const flags = ['--port', '0', '--dynamodb-port', '0', '--every', '24h', '--ttl-every', '24h'];
    const child = spawn(binary, ['local', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    let complaints = '';
    child.stderr.on('data', (text) => { complaints += text; });
    const stack = { tokens: {}, stop: () => { child.kill('SIGTERM'); return ended; } };
    let title = '';
    for await (const line of createInterface({ input: child.stdout })) {
        const text = line.replace(/\x1b\[[\d;]*m/g, '');
        title = text.startsWith('# ') ? text.slice(2) : title;
        const holder = Object.keys(HOLDERS).find((name) => title.startsWith(HOLDERS[name]));
        const [token] = /[\w-]+\.[\w-]+\.[\w-]{20,}/.exec(text) ?? [];
        if (holder && token) stack.tokens[holder] ??= token;
        stack.origin ??= /^\W*API\W+(http:\S+)/.exec(text)?.[1];
        stack.dynamodb ??= /DynamoDB, for any AWS client\W+(http:\S+)/.exec(text)?.[1];
        // The last thing that it prints.
        if (text.includes('/invocations')) {
            // A full pipe would stop it.
            child.stdout.resume();
            return stack;
        }
    }
    throw new Error(`${binary} ended before it was up: ${complaints}`);
}

/** Asks the API itself, past the page. */
export async function ask(stack, path, holder = 'admin') {
    const answer = await fetch(`${stack.origin}/api/v1/monitoring/sessions/${path}`, {
        headers: { Authorization: `Bearer ${stack.tokens[holder]}` },
    });
    return (await answer.json()).data;
}

const HOUR = 3_600_000;

/**
 * Reports of hourly runs until `until`, the newest last, as a service leaves them whose users log in by day: one
 * run failed, one ran out of time, and between them stands a dry run.
 */
export function twoDaysOfReports(until) {
    const reports = Array.from({ length: 48 }, (_, index) => {
        const started = new Date(until - (47 - index) * HOUR);
        const daily = 1 + Math.sin(((started.getUTCHours() - 8) / 24) * 2 * Math.PI);
        const wobble = (index * 37) % 11;
        return report(started, {
            sessions_deactivated: Math.round(640 * daily + 19 * wobble + 30),
            sessions_deleted: Math.round(180 * daily + 9 * ((index * 5) % 7)),
            refresh_tokens_deleted: Math.round(260 * daily + 7 * wobble),
            blacklisted_tokens_deleted: (index * 13) % 17,
        });
    });
    Object.assign(reports[19], { sessions_deactivated: 212, failed: 25, duration_ms: 61_204,
        error: 'The table did not take 25 writes in time' });
    Object.assign(reports[33], { complete: false, duration_ms: 840_007 });
    reports.push({ ...report(new Date(until - 5.4 * HOUR)), dry_run: true, trigger: 'manual', sessions_deactivated: 77 });
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

/** Writes reports into the table as the functions do (shared/src/dynamodb/reports.rs). */
export async function keepReports(stack, reports) {
    await put(stack, reports.map((it) => ({
        pk: 'CLEANUP', sk: `RUN#${it.started_at}#${it.run_id}`,
        ttl: Math.floor(Date.parse(it.started_at) / 1_000) + 90 * 86_400, ...it,
    })));
}

/** Writes `count` live sessions of other users, so that there is more than the sample. */
export async function keepLiveSessions(stack, count, first = 0) {
    const now = Math.floor(Date.now() / 1_000);
    const numbers = Array.from({ length: count }, (_, index) => first + index);
    await put(stack, numbers.map((index) => ({
        pk: `USER#user-${index}`, sk: `SESSION#s-${index}`, user_id: `user-${index}`, session_id: `s-${index}`,
        is_active: true, created_at: now, expires_at: now + 8 * 3_600,
        due_key: `deactivate#${String(index % 16).padStart(2, '0')}`, due_at: now + 8 * 3_600, ttl: now + 31 * 86_400,
    })));
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
    // As many as a batch may hold.
    for (let at = 0; at < requests.length; at += 25) {
        const answer = await fetch(stack.dynamodb, {
            method: 'POST',
            headers: {
                'Content-Type': 'application/x-amz-json-1.0',
                'X-Amz-Target': 'DynamoDB_20120810.BatchWriteItem',
                // It checks neither credentials nor date, but wants them.
                'X-Amz-Date': '20260101T000000Z',
                Authorization: 'AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/aws4_request, '
                    + 'SignedHeaders=host, Signature=x',
            },
            body: JSON.stringify({ RequestItems: { sessions: requests.slice(at, at + 25) } }),
        });
        if (!answer.ok) throw new Error(`DynamoDB: ${answer.status} ${await answer.text()}`);
    }
}
