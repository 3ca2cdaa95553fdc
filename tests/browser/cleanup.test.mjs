// Dry runs and cleanups by button. Each test starts its own stack because it changes the table.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';
import { fetchFromApi, report, startStack } from './stack.mjs';
import { startGateway } from './gateway.mjs';

let world;
before(async () => { world = await open(); });
after(() => world.close());

const DUE = ['Sessions to deactivate86', 'Inactive sessions to delete10', 'Expired refresh tokens to delete25',
    'Expired blacklisted tokens to delete7'];
const DONE = ['Sessions deactivated86', 'Inactive sessions deleted10', 'Expired refresh tokens deleted25',
    'Expired blacklisted tokens deleted7'];

async function administrator(t, options) {
    const stack = await startStack();
    t.after(stack.stop);
    const gateway = await startGateway(stack.origin);
    t.after(gateway.stop);
    const visited = await visit({ ...world, gateway }, options);
    await visited.signIn(stack.tokens.admin);
    await visited.waitForNumbers();
    const counts = () => visited.page.locator('#dialog-counts > div').allTextContents();
    return { stack, counts, ...visited };
}

const isCleanup = (url) => url.pathname.endsWith('/sessions/cleanup') && url.search === '';
const posts = (visited) => visited.requests.filter((it) => it.method() === 'POST').map((it) => new URL(it.url()).search);

test('A dry run shows what a cleanup would do, and changes nothing', async (t) => {
    const visited = await administrator(t);
    const before = await fetchFromApi(visited.stack, 'stats');
    await visited.press('Dry run');
    await visited.waitForText('Nothing has been changed.');
    assert.deepEqual(await visited.counts(), DUE);
    assert.equal(await visited.button('Clean up now').isVisible(), false);
    const after = await fetchFromApi(visited.stack, 'stats');
    for (const name of ['total_sessions', 'active_sessions', 'expired_sessions', 'inactive_sessions', 'last_cleanup']) {
        assert.deepEqual(after[name], before[name], name);
    }
    assert.deepEqual(posts(visited), ['?dry_run=true']);
    await visited.press('Close');
    await visited.page.locator('#reports tr', { hasText: 'Dry run' }).waitFor();
    assert.equal(await visited.page.locator('#chart rect.deactivated').count(), 0);
    await endVisit(visited);
});

test('A confirmed cleanup runs, shows its counts and updates the numbers', async (t) => {
    const visited = await administrator(t);
    assert.deepEqual(await visited.figures(), [3, 86, 15, 104]);
    await visited.press('Clean up …');
    await visited.button('Clean up now').waitFor();
    assert.deepEqual(await visited.counts(), DUE);
    assert.deepEqual(posts(visited), ['?dry_run=true']);
    assert.equal((await fetchFromApi(visited.stack, 'stats')).expired_sessions, 86);
    // The safe choice has the focus.
    assert.equal(await visited.page.evaluate(() => document.activeElement.textContent), 'Cancel');
    await visited.press('Clean up now');
    await visited.waitForText('Done in');
    assert.deepEqual(await visited.counts(), DONE);
    assert.deepEqual(posts(visited), ['?dry_run=true', '']);
    await visited.press('Close');
    await visited.page.waitForFunction(() => document.querySelector('#expired').textContent === '0');
    assert.deepEqual(await visited.figures(), [3, 0, 91, 94]);
    assert.equal(await visited.text('need'), 'No: no session has to be deactivated. A dry run shows what else is due for deletion.');
    await visited.page.locator('#reports tr:not(.dry)', { hasText: 'ada' }).waitFor();
    assert.equal(await visited.page.locator('#chart rect.deactivated').getAttribute('data-value'), '86');
    const { last_cleanup: last } = await fetchFromApi(visited.stack, 'stats');
    assert.equal(await visited.page.locator('#last time').getAttribute('datetime'), last.started_at);
    // A second time, there is nothing to confirm.
    await visited.press('Clean up …');
    await visited.waitForText('Nothing is due.');
    assert.equal(await visited.button('Clean up now').isVisible(), false);
    await endVisit(visited);
});

for (const [how, act] of [
    ['its button', (visited) => visited.press('Cancel')],
    ['Escape', (visited) => visited.page.keyboard.press('Escape')],
]) {
    test(`A cleanup cancelled by ${how} changes nothing`, async (t) => {
        const visited = await administrator(t);
        await visited.press('Clean up …');
        await visited.button('Clean up now').waitFor();
        await act(visited);
        await visited.page.locator('#dialog').waitFor({ state: 'hidden' });
        assert.equal(await visited.page.evaluate(() => document.activeElement.id), 'clean-up');
        assert.deepEqual(posts(visited), ['?dry_run=true']);
        assert.equal((await fetchFromApi(visited.stack, 'stats')).expired_sessions, 86);
        await endVisit(visited);
    });
}

test('A cancelled dry run ignores its late response', async (t) => {
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    const visited = await administrator(t);
    await visited.page.route('**/sessions/cleanup?dry_run=true', async (route) => {
        await held;
        await route.continue().catch(() => {});
    });
    await visited.press('Clean up …');
    await visited.waitForText('Counting what a cleanup would do.');
    await visited.press('Cancel');
    release();
    await visited.page.waitForTimeout(500);
    assert.equal(await visited.page.locator('#dialog').isVisible(), false);
    await endVisit(visited);
});

test('A running cleanup shows progress and seconds and cannot be closed or restarted', async (t) => {
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    const visited = await administrator(t, { before: (page) => page.clock.install() });
    await visited.page.route(isCleanup, async (route) => { await held; await route.continue(); });
    await visited.press('Clean up …');
    await visited.press('Clean up now');
    await visited.waitForText('Cleaning up.');
    const bar = visited.page.getByRole('progressbar', { name: 'Cleaning up. It continues if you close this page.' });
    assert.ok(await bar.isVisible());
    // The progress bar is indeterminate because the progress is unknown.
    assert.equal(await bar.getAttribute('value'), null);
    await visited.page.clock.fastForward(12_000);
    await visited.page.waitForFunction(() => /^1[2-9] s$/.test(document.querySelector('#elapsed').textContent));
    // The page does not refresh in the meantime.
    const count = visited.requests.length;
    await visited.page.clock.fastForward(25_000);
    assert.equal(visited.requests.length, count);
    for (const name of ['Close', 'Cancel', 'Clean up now']) assert.equal(await visited.button(name).isVisible(), false, name);
    // A browser may close the dialog at the second Escape; the page opens it again.
    for (let times = 0; times < 3; times += 1) await visited.page.keyboard.press('Escape');
    await visited.page.locator('#dialog').waitFor();
    // A browser may also close it without a key.
    await visited.page.locator('#dialog').evaluate((it) => it.close());
    await bar.waitFor();
    release();
    await visited.waitForText('Done in');
    assert.equal(await bar.isVisible(), false);
    await endVisit(visited);
});

test('A cleanup that ran out of time can continue, and its counts add up', async (t) => {
    const visited = await administrator(t);
    let times = 0;
    await visited.page.route(isCleanup, (route) => {
        times += 1;
        if (times > 1) return route.continue();
        return route.fulfill({ json: { success: true, data: report(new Date(), { complete: false, sessions_deactivated: 1_000 }) } });
    });
    await visited.press('Clean up …');
    await visited.press('Clean up now');
    await visited.waitForText('The time ran out with work left.');
    assert.equal((await visited.counts())[0], 'Sessions deactivated1,000');
    await visited.press('Go on');
    await visited.waitForText('Done in');
    assert.deepEqual(await visited.counts(), ['Sessions deactivated1,086', ...DONE.slice(1)]);
    assert.equal(await visited.button('Go on').isVisible(), false);
    await endVisit(visited);
});

test('A cleanup with problems reports each of them', async (t) => {
    const visited = await administrator(t);
    await visited.page.route(isCleanup, (route) => route.fulfill({ json: { success: true, data:
        report(new Date(), { failed: 2, malformed: 1, changed_elsewhere: 3, error: 'The table is throttled' }) } }));
    await visited.press('Clean up …');
    await visited.press('Clean up now');
    await visited.waitForText('The cleanup is through, but not all went well.');
    assert.deepEqual(await visited.page.locator('#dialog-notes li').allTextContents(), [
        'The run failed: The table is throttled',
        '2 records could not be changed. The next run tries again. The log has the reason.',
        '1 record is malformed. Its attributes stay unchanged. The log has its key.',
        '3 records had been changed by another writer in the meantime.',
    ]);
    await endVisit(visited);
});

test('The dialog lists each rejected record once across all runs', async (t) => {
    const visited = await administrator(t);
    const runs = [['USER#ann SESSION#1'], ['USER#ann SESSION#1', 'USER#b\u202een SESSION#2']];
    let times = 0;
    await visited.page.route(isCleanup, (route) => {
        const failed_records = runs[times];
        times += 1;
        return route.fulfill({ json: { success: true, data:
            report(new Date(), { failed_records, failed: failed_records.length, malformed: 3 - times, complete: times === 2 }) } });
    });
    await visited.press('Clean up …');
    await visited.press('Clean up now');
    await visited.press('Go on');
    await visited.waitForText('The cleanup is through, but not all went well.');
    assert.deepEqual(await visited.page.locator('#dialog-notes li').allTextContents(), [
        '3 records could not be changed. The next run tries again. The log has the reason.',
        'The table rejected a write to USER#ann SESSION#1',
        'The table rejected a write to USER#b\ufffden SESSION#2',
        '2 records are malformed. Their attributes stay unchanged. The log has the first 20 keys.',
    ]);
    await endVisit(visited);
});

for (const [what, answer] of [
    ['loses the connection', (route) => route.abort()],
    ['gets no answer in time from the gateway', (route) => route.fulfill({ status: 504, json: { error: 'Endpoint request timed out' } })],
    ['gets a page for an answer', (route) => route.fulfill({ contentType: 'text/html', body: '<h1>Sign in</h1>' })],
]) {
    test(`A cleanup that ${what} has an unknown outcome`, async (t) => {
        const visited = await administrator(t);
        await visited.page.route(isCleanup, answer);
        await visited.press('Clean up …');
        await visited.press('Clean up now');
        await visited.waitForText('It is not known whether the cleanup did its work');
        assert.equal(await visited.button('Clean up now').isVisible(), false);
        await visited.press('Close');
        assert.ok(await visited.page.locator('#dashboard').isVisible());
        await endVisit(visited);
    });
}

test('A rejected token during a cleanup does not hide the result', async (t) => {
    const visited = await administrator(t);
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    await visited.page.route(isCleanup, async (route) => { await held; await route.continue(); });
    await visited.press('Clean up …');
    // The refresh after the dry run is over, so any further request would be counted.
    await visited.page.locator('#reports tr', { hasText: 'Dry run' }).waitFor();
    const asked = visited.page.waitForRequest((it) => isCleanup(new URL(it.url())));
    await visited.press('Clean up now');
    await asked;
    await visited.page.route('**/sessions/stats', (route) => route.fulfill({ status: 401, json: { error: 'Token expired' } }));
    const count = visited.requests.length;
    await visited.page.evaluate(() => {
        for (const change of ['offline', 'online']) window.dispatchEvent(new Event(change));
        document.dispatchEvent(new Event('visibilitychange'));
    });
    await visited.page.evaluate(() => new Promise((resolve) => { setTimeout(resolve, 100); }));
    assert.equal(visited.requests.length, count);
    assert.ok(await visited.page.getByRole('progressbar').isVisible());
    await visited.page.unroute('**/sessions/stats');
    release();
    await visited.waitForText('Done in');
    await endVisit(visited);
});

test('A token that expires before the cleanup returns to sign-in with the reason', async (t) => {
    const visited = await administrator(t);
    await visited.page.route(isCleanup, (route) => route.fulfill({ status: 401, json: { error: 'Token expired' } }));
    await visited.press('Clean up …');
    await visited.press('Clean up now');
    await visited.waitForText('The API rejected the token (401): “Token expired”.');
    assert.equal(await visited.page.locator('#dialog').isVisible(), false);
    assert.ok(await visited.page.getByLabel('Token', { exact: true }).isVisible());
    await endVisit(visited);
});
