// What a reader sees, and how the page keeps it up to date.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';
import { fetchFromApi, storeActiveSessions, storeReports, report, startStack, twoDaysOfReports, untilCounted } from './stack.mjs';
import { startGateway } from './gateway.mjs';

let world;
before(async () => {
    world = await open();
    await storeActiveSessions(world.stack, Array(1_280).fill(8 * 3_600));
    await storeReports(world.stack, twoDaysOfReports(Date.now() - 1_800_000));
});
after(() => world.close());

/** Opens the page and signs in as a reader. */
async function reader(options) {
    const visited = await visit(world, options);
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    return visited;
}

const withClock = { before: (page) => page.clock.install() };

/** Makes the page believe that its tab is visible or hidden. */
const show = (page, visible) => page.evaluate((isVisible) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => !isVisible });
    document.dispatchEvent(new Event('visibilitychange'));
}, visible);

test('The page shows the numbers of the API', async () => {
    const visited = await reader();
    const it = await fetchFromApi(world.stack, 'stats');
    assert.deepEqual(await visited.figures(),
        [it.active_sessions - it.expired_sessions, it.expired_sessions, it.inactive_sessions, it.total_sessions]);
    assert.equal(await visited.text('total'), '1,384');
    assert.match(await visited.text('need'), new RegExp(`^Yes: ${it.expired_sessions} sessions have expired`));
    assert.match(await visited.text('oldest'), new RegExp(`^${Math.floor(it.oldest_expired_age_seconds / 86_400)} days`));
    const last = visited.page.locator('#last time');
    assert.equal(await last.getAttribute('datetime'), it.last_cleanup.started_at);
    assert.equal(await last.getAttribute('title'), `${it.last_cleanup.started_at.slice(0, 19).replace('T', ' ')} UTC`);
    assert.equal(await visited.text('last-note'), '30 minutes ago, by schedule: complete');
    await endVisit(visited);
});

test('The table lists every report and marks dry, failed and incomplete runs', async () => {
    const visited = await reader();
    const { reports } = await fetchFromApi(world.stack, 'cleanups?limit=100');
    const rows = await visited.page.locator('#reports tr').evaluateAll((all) =>
        all.map((row) => [...row.cells].map((cell) => cell.textContent)));
    assert.equal(rows.length, 49);
    const number = (text) => Number(text.replaceAll(',', ''));
    rows.forEach((row, index) => {
        const it = reports[index];
        assert.deepEqual(row.slice(3, 8).map(number), [it.sessions_deactivated,
            it.sessions_deleted + it.refresh_tokens_deleted + it.blacklisted_tokens_deleted,
            it.sessions_deleted, it.refresh_tokens_deleted, it.blacklisted_tokens_deleted], it.started_at);
        assert.equal(row[2].startsWith('Dry run'), it.dry_run, row[2]);
    });
    const outcomes = rows.map((row) => row[2]).filter((text) => text !== 'Complete');
    assert.deepEqual(outcomes, ['Dry run Complete', 'Incomplete', 'Failed on 25 recordsThe table did not take 25 writes in time']);
    await endVisit(visited);
});

test('The chart has one bar for each run except dry runs, and marks problems', async () => {
    const visited = await reader();
    const { reports } = await fetchFromApi(world.stack, 'cleanups?limit=100');
    const runs = reports.filter((it) => !it.dry_run).reverse();
    const bars = (name) => visited.page.locator(`#chart rect.${name}`).evaluateAll((all) =>
        all.map((bar) => [Number(bar.dataset.value), Number(bar.getAttribute('height'))]));
    for (const [name, of] of [
        ['deactivated', (it) => it.sessions_deactivated],
        ['deleted', (it) => it.sessions_deleted + it.refresh_tokens_deleted + it.blacklisted_tokens_deleted],
    ]) {
        const drawn = await bars(name);
        assert.deepEqual(drawn.map(([value]) => value), runs.map(of));
        // The heights are proportional to the values.
        const [value, height] = drawn.reduce((high, bar) => (bar[0] > high[0] ? bar : high));
        for (const bar of drawn) assert.ok(Math.abs(bar[1] - (bar[0] * height) / value) < 2, `${name} ${bar}`);
    }
    assert.equal(await visited.page.locator('#chart > svg > .failed-mark').count(), 1);
    assert.equal(await visited.page.locator('#chart > svg > .incomplete-mark').count(), 1);
    const drawing = visited.page.getByRole('img', { name: 'What the last runs did' });
    assert.match(await visited.text('chart-summary'),
        /^48 runs, .*: [\d,]+ sessions deactivated, [\d,]+ records deleted\. 1 run failed\. 1 run incomplete\. Left out: 1 dry run\./);
    assert.equal(await drawing.getAttribute('aria-describedby'), 'chart-summary');
    // Pointing at a run shows its figures.
    await drawing.scrollIntoViewIfNeeded();
    const { x, y, width } = await drawing.boundingBox();
    await visited.page.mouse.move(x + width - 10, y + 60);
    const newest = runs.at(-1);
    assert.match(await visited.text('readout'), new RegExp(`by schedule: ${newest.sessions_deactivated} deactivated, `));
    await endVisit(visited);
});

test('Times are local, with UTC in the tooltip', async () => {
    const visited = await reader();
    const newest = visited.page.locator('#reports time').first();
    const iso = await newest.getAttribute('datetime');
    const berlin = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'Europe/Berlin' });
    assert.ok((await newest.textContent()).endsWith(berlin.format(new Date(iso))));
    assert.equal(await newest.getAttribute('title'), `${iso.slice(0, 19).replace('T', ' ')} UTC`);
    await visited.waitForText('Times are in the time zone Europe/Berlin');
    await endVisit(visited);
});

test('The page refreshes after 30 seconds and not before', async () => {
    const visited = await reader(withClock);
    const count = visited.requests.length;
    await visited.page.clock.fastForward(25_000);
    assert.equal(visited.requests.length, count);
    const refreshed = await visited.text('refreshed');
    await visited.page.clock.fastForward(6_000);
    await visited.page.waitForFunction((old) => document.querySelector('#refreshed').textContent !== old, refreshed);
    assert.deepEqual(visited.requests.slice(count).map((it) => new URL(it.url()).pathname.split('/').at(-1)),
        ['stats', 'cleanups']);
    await endVisit(visited);
});

test('An automatic refresh shows new numbers without announcing them', async () => {
    const visited = await reader(withClock);
    const [live] = await visited.figures();
    await visited.page.evaluate(() => {
        window.spoken = [];
        const listener = new MutationObserver((changes) => window.spoken.push(...changes.map((it) => it.target.id)));
        for (const region of document.querySelectorAll('[role=status], [role=alert], [aria-live]')) {
            listener.observe(region, { childList: true, characterData: true, subtree: true });
        }
    });
    await storeActiveSessions(world.stack, Array(10).fill(8 * 3_600));
    await untilCounted(world.stack, 1_394);
    await visited.page.clock.fastForward(31_000);
    await visited.page.waitForFunction(() => document.querySelector('#live').textContent === '1,293');
    assert.equal(live, 1_283);
    // Wait for two more refreshes.
    for (let round = 0; round < 2; round += 1) {
        const refreshed = await visited.text('refreshed');
        await visited.page.clock.fastForward(31_000);
        await visited.page.waitForFunction((old) => document.querySelector('#refreshed').textContent !== old, refreshed);
    }
    // Clearing an empty region again is not a change, so it is not announced.
    assert.deepEqual(await visited.page.evaluate(() => window.spoken), []);
    await endVisit(visited);
});

test('The Refresh button fetches new numbers at once and announces them', async () => {
    const visited = await reader();
    const count = visited.requests.length;
    await visited.press('Refresh');
    await visited.page.waitForFunction(() => /^Refreshed \S+\. Is a cleanup needed\? Yes: /.test(
        document.querySelector('#status').textContent));
    assert.equal(visited.requests.length, count + 2);
    await endVisit(visited);
});

test('Refreshes never overlap, even if a response is slow', async () => {
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    let asked = 0;
    const visited = await reader(withClock);
    await visited.page.route('**/sessions/stats', async (route) => {
        asked += 1;
        await held;
        await route.continue();
    });
    await visited.page.clock.fastForward(31_000);
    while (asked === 0) await visited.page.waitForTimeout(50);
    // After the next refresh is due, but before the request times out.
    await visited.page.clock.fastForward(37_000);
    await visited.press('Refresh');
    assert.equal(asked, 1);
    release();
    await endVisit(visited);
});

test('A hidden tab sends no requests and refreshes at once when shown again', async () => {
    const visited = await reader(withClock);
    await show(visited.page, false);
    const count = visited.requests.length;
    for (let minute = 0; minute < 5; minute += 1) await visited.page.clock.fastForward(60_000);
    assert.equal(visited.requests.length, count);
    const asked = visited.page.waitForResponse(/cleanups/);
    await show(visited.page, true);
    await asked;
    await endVisit(visited);
});

test('Forgetting the token removes the numbers and stops all requests', async () => {
    const visited = await reader(withClock);
    await visited.press('Forget token');
    await visited.page.getByLabel('Token', { exact: true }).waitFor();
    assert.equal(await visited.page.getByText('1,384').count(), 0);
    assert.equal(await visited.page.locator('#reports tr, #chart svg').count(), 0);
    const count = visited.requests.length;
    for (let minute = 0; minute < 5; minute += 1) await visited.page.clock.fastForward(60_000);
    // Events that normally cause a refresh do not cause one either.
    await show(visited.page, false);
    await show(visited.page, true);
    await visited.context.setOffline(true);
    await visited.context.setOffline(false);
    await visited.page.waitForFunction(() => navigator.onLine);
    await visited.page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(resolve); }));
    assert.equal(visited.requests.length, count);
    assert.equal(await visited.text('alert'), '');
    await endVisit(visited);
});

test('A response that arrives after the token was forgotten is not shown', async () => {
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    const visited = await visit(world);
    await visited.page.route('**/sessions/stats', async (route) => { await held; await route.continue(); });
    const asked = visited.page.waitForRequest(/stats/);
    await visited.signIn(world.stack.tokens.reader);
    await asked;
    await visited.press('Forget token');
    const answered = visited.page.waitForResponse(/stats/);
    release();
    await (await answered).finished();
    await visited.page.evaluate(() => new Promise((resolve) => { setTimeout(resolve, 100); }));
    assert.equal(await visited.text('total'), '–');
    assert.equal(await visited.page.locator('#dashboard').isVisible(), false);
    await endVisit(visited);
});

test('A new token does not wait for requests of the previous one', async () => {
    const visited = await visit(world, withClock);
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    await visited.page.route('**/sessions/stats', async (route) => { await held; await route.abort(); }, { times: 1 });
    const asked = visited.page.waitForRequest(/stats/);
    await visited.signIn(world.stack.tokens.reader);
    await asked;
    await visited.press('Forget token');
    await visited.signIn(world.stack.tokens.admin);
    await visited.waitForNumbers();
    release();
    await endVisit(visited);
});

test('The reports are shown even if the sessions cannot be counted', async () => {
    const visited = await visit(world);
    await visited.page.route('**/sessions/stats', (route) => route.fulfill({ status: 504, json: { error: 'Timed out' } }));
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForText('The API failed (504)');
    assert.equal(await visited.page.locator('#reports tr').count(), 49);
    assert.equal(await visited.text('need'), 'Not known yet.');
    await endVisit(visited);
});

test('Bidirectional control characters in a name are replaced', async () => {
    const visited = await reader({
        before: (page) => page.route('**/sessions/cleanups*', (route) => route.fulfill({ json: { success: true, data: {
            reports: [report(new Date(), { trigger: 'api', requested_by: 'a\u202eb' })], next: null,
        } } })),
    });
    await visited.waitForText('a\ufffdb');
    await endVisit(visited);
});

test('Values from the API are shown as text, never as markup', async () => {
    const visited = await reader({
        before: (page) => page.route('**/sessions/cleanups*', (route) => route.fulfill({ json: { success: true, data: {
            reports: [report(new Date(), { trigger: 'api', requested_by: '<b>ada</b>', error: '<img src=x>', malformed: 1 })],
            next: null,
        } } })),
    });
    await visited.waitForText('<b>ada</b>');
    await visited.waitForText('<img src=x>');
    assert.equal(await visited.page.locator('img, b').count(), 0);
    await endVisit(visited);
});

test('A report lists rejected records and the progress of an adoption', async () => {
    const keys = ['USER#ann SESSION#<b>1</b>', 'USER#b\u202een SESSION#2'];
    const visited = await reader({
        before: (page) => page.route('**/sessions/cleanups*', (route) => route.fulfill({ json: { success: true, data: {
            reports: [report(new Date(), { failed: 2, failed_records: keys, adoption_percent: 0 }), report(new Date(0))], next: null,
        } } })),
    });
    const rows = visited.page.locator('#reports tr');
    const details = rows.first().locator('details');
    assert.ok(!await details.getByRole('listitem').first().isVisible());
    await details.getByText('2 records rejected by the table').click();
    assert.deepEqual(await details.getByRole('listitem').allTextContents(), [keys[0], 'USER#b\ufffden SESSION#2']);
    await rows.first().getByText('adoption at 0 % of the table').waitFor();
    assert.equal(await rows.last().locator('details, .reason').count(), 0);
    await endVisit(visited);
});

for (const [count, words] of [[0, ''], [1, '1 record is malformed'], [1_200, '1,200 records are malformed']]) {
    test(`${count} malformed records are ${count ? 'reported' : 'not mentioned'}`, async () => {
        const visited = await visit(world);
        await visited.page.route('**/sessions/stats', async (route) => {
            const answer = await (await route.fetch()).json();
            answer.data.malformed_records = count;
            await route.fulfill({ json: answer });
        });
        await visited.signIn(world.stack.tokens.reader);
        await visited.waitForNumbers();
        const shown = visited.page.locator('#malformed');
        assert.equal(await shown.isVisible(), count > 0);
        assert.ok((await shown.textContent()).startsWith(words));
        await visited.press('Forget token');
        assert.equal(await shown.isVisible(), false);
        await endVisit(visited);
    });
}

test('A full page of dry runs does not hide older runs', async () => {
    const now = Date.now();
    const dry = Array.from({ length: 99 }, (_, index) => report(new Date(now - index * 1_000), { dry_run: true }));
    const runs = Array.from({ length: 60 }, (_, index) => report(new Date(now - 1e6 - index * 1_000), { sessions_deactivated: 5 }));
    const visited = await reader({
        before: (page) => page.route('**/sessions/cleanups*', (route) => {
            const isFirst = !route.request().url().includes('cursor');
            const data = isFirst ? { reports: [...dry, runs[0]], next: 'a cursor&' } : { reports: runs.slice(1), next: null };
            assert.ok(isFirst || route.request().url().includes('cursor=a%20cursor%26'));
            return route.fulfill({ json: { success: true, data } });
        }),
    });
    assert.equal(await visited.page.locator('#chart rect.deactivated').count(), 48);
    // The table goes no further back than the chart.
    assert.equal(await visited.page.locator('#reports tr').count(), 99 + 48);
    await endVisit(visited);
});

for (const [seconds, words] of [[0, '0 seconds'], [1, '1 second'], [2_232, '37 minutes'], [3_600, '1 hour'],
    [93_784, '1 day 2 hours'], [2_592_059, '30 days']]) {
    test(`${seconds} seconds are shown as ${words}`, async () => {
        const visited = await reader({
            before: (page) => page.route('**/sessions/stats', (route) => route.fulfill({ json: { success: true, data: {
                total_sessions: 1, active_sessions: 1, expired_sessions: 1, inactive_sessions: 0, cleanup_needed: true,
                oldest_expired_age_seconds: seconds, last_cleanup: null,
            } } })),
        });
        assert.equal(await visited.text('oldest'), words);
        assert.equal(await visited.text('need'),
            `Yes: 1 session has expired and is still active. The oldest expired ${words} ago.`);
        await endVisit(visited);
    });
}

test('The page says when there are no reports and nothing to do', async (t) => {
    const stack = await startStack();
    t.after(stack.stop);
    const gateway = await startGateway(stack.origin);
    t.after(gateway.stop);
    const visited = await visit({ ...world, gateway }, {
        before: (page) => page.route('**/sessions/stats', (route) => route.fulfill({ json: { success: true, data: {
            total_sessions: 0, active_sessions: 0, expired_sessions: 0, inactive_sessions: 0, cleanup_needed: false,
            oldest_expired_age_seconds: null, last_cleanup: null,
        } } })),
    });
    await visited.signIn(stack.tokens.reader);
    await visited.waitForText('There is no report of a cleanup.');
    assert.equal(await visited.text('need'), 'No: no session has to be deactivated. A dry run shows what else is due for deletion.');
    assert.equal(await visited.text('oldest'), 'None');
    assert.equal(await visited.text('last'), 'None');
    await endVisit(visited);
});
