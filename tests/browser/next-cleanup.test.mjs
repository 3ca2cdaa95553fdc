// The time of the next cleanup, and the items that no cleanup finds.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';
import { respondWithReports, overrideStatistics, report } from './stack.mjs';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NOW = Date.parse('2026-11-25T17:20:00Z');
const NO_NEED = 'No: no session has to be deactivated. A dry run shows what else is due for deletion.';
const UNSEEN = 'about 40 items of this table are on no list, so no cleanup and none of these figures see them '
    + '(DynamoDB’s own count, up to six hours old).';
const ADOPT = 'Run the cleanup once with {"adopt": true}.';
const CLEAN = { total_sessions: 2, active_sessions: 2, expired_sessions: 0, inactive_sessions: 0, cleanup_needed: false,
    oldest_expired_age_seconds: null, last_cleanup: null };

let world;
before(async () => { world = await open('--empty'); });
after(() => world.close());

/** Signs in as an administrator. The statistics are those of a table with nothing to do, overridden by `statistics`. */
async function administrator(statistics, reports = [report(new Date(NOW - 20 * MINUTE))]) {
    const visited = await visit(world);
    await visited.page.clock.setFixedTime(NOW);
    // Remove these members from the stack's response: JSON omits undefined values.
    const omitted = { schedule: undefined, next_cleanup: undefined };
    await overrideStatistics(visited.page, { ...CLEAN, ...omitted, last_cleanup: reports[0] ?? null, ...statistics });
    await respondWithReports(visited.page, reports);
    await visited.signIn(world.stack.tokens.admin);
    await visited.waitForNumbers();
    return visited;
}

const at = (minutes) => new Date(NOW + minutes * MINUTE).toISOString();

for (const [what, minutes, words, isLate] of [
    ['23 minutes ahead', 23, 'in 23 minutes', false],
    ['hours ahead', 150, 'in 2 hours 30 minutes', false],
    ['seconds ahead', 0.5, 'in less than a minute', false],
    ['now', 0, 'due now', false],
    ['5 minutes ago', -5, 'due now', false],
    ['6 minutes ago', -6, 'late: was due 6 minutes ago', true],
    ['2 hours ago', -120, 'late: was due 2 hours ago', true],
]) {
    test(`A cleanup due ${what} is shown as "${words}"`, async () => {
        const visited = await administrator({ schedule: 'rate(1 hour)', next_cleanup: at(minutes) });
        assert.equal(await visited.text('next'), words);
        assert.equal(await visited.text('next-note'), 'every hour');
        assert.equal(await visited.page.locator('#next-panel.some').count(), isLate ? 1 : 0);
        // A screen reader announces it.
        assert.equal((await visited.text('status')).includes('Next cleanup: late'), isLate);
        assert.ok(await visited.page.locator('#next-panel').isVisible());
        await endVisit(visited);
    });
}

test('An unknown next cleanup is not shown', async () => {
    for (const members of [{ schedule: 'rate(1 hour)', next_cleanup: null }, {}, { next_cleanup: 'soon' }, { next_cleanup: 7 }]) {
        const visited = await administrator(members);
        assert.equal(await visited.page.locator('#next-panel').isVisible(), false, JSON.stringify(members));
        assert.equal(await visited.page.getByText('Next cleanup').filter({ visible: true }).count(), 0);
        await endVisit(visited);
    }
});

for (const [schedule, words] of [['rate(15 minutes)', 'every 15 minutes'], ['rate(1 day)', 'every day'],
    ['cron(0 8 * * ? *)', 'cron(0 8 * * ? *)'], [null, '']]) {
    test(`The schedule ${schedule} is shown as "${words}"`, async () => {
        const visited = await administrator({ schedule, next_cleanup: at(5) });
        assert.equal(await visited.text('next-note'), words);
        await endVisit(visited);
    });
}

test('A table that was never adopted is not reported as clean', async () => {
    const visited = await administrator({ table_items: 42, unindexed_items: 40 });
    assert.equal(await visited.text('need'), `Not known: ${UNSEEN} ${ADOPT}`);
    assert.match(await visited.text('advice'), /tab Test\. The event {"adopt": true, "dry_run": true} shows first/);
    assert.ok(await visited.page.locator('#advice').isVisible());
    assert.equal(await visited.page.locator('.need.needed').count(), 1);
    assert.equal(await visited.page.locator('#expired-panel.some').count(), 0);
    assert.equal(await visited.text('total-note'), 'sessions on the lists');
    assert.match(await visited.text('status'), /Is a cleanup needed\? Not known: about 40 items/);
    await visited.press('Forget token');
    assert.equal(await visited.text('advice'), '');
    await endVisit(visited);
});

test('Expired sessions are reported before items on no due list', async () => {
    const visited = await administrator({ table_items: 42, unindexed_items: 40, expired_sessions: 2, oldest_expired_age_seconds: 120 });
    assert.equal(await visited.text('need'), 'Yes: 2 sessions have expired and are still active. The oldest expired 2 minutes ago. '
        + `Besides, ${UNSEEN} ${ADOPT}`);
    assert.equal(await visited.page.locator('#expired-panel.some').count(), 1);
    await endVisit(visited);
});

test('A single item on no due list is reported in the singular', async () => {
    const visited = await administrator({ table_items: 42, unindexed_items: 1 });
    assert.match(await visited.text('need'), /^Not known: about 1 item of this table is on no list, so no cleanup and none of these figures see it /);
    await endVisit(visited);
});

for (const [table_items, unindexed_items] of [[1_000_000, 500], [100, 1], [42, 0], [0, 0], [null, null], [42, null], [undefined, undefined]]) {
    test(`${unindexed_items} of ${table_items} items on no due list cause no warning`, async () => {
        const visited = await administrator({ table_items, unindexed_items });
        assert.equal(await visited.text('need'), NO_NEED);
        assert.equal(await visited.text('total-note'), 'sessions in the table');
        assert.equal(await visited.page.locator('#advice').isVisible(), false);
        assert.equal(await visited.page.locator('.need.needed').count(), 0);
        await endVisit(visited);
    });
}

test('The page does not ask for another adoption while the item count is old', async () => {
    for (const [hours, isAsked] of [[2, false], [7, true]]) {
        const adoption = report(new Date(NOW - hours * HOUR), { trigger: 'manual', adopted: 40 });
        const visited = await administrator({ table_items: 42, unindexed_items: 40 }, [report(new Date(NOW - HOUR)), adoption]);
        assert.equal((await visited.text('need')).includes(ADOPT), isAsked);
        assert.equal((await visited.text('advice')).includes('A cleanup adopted 40 records 2 hours ago; DynamoDB may not have counted them yet.'), !isAsked);
        await endVisit(visited);
    }
});

/** Makes a dry run return this report. */
const respondToDryRun = ({ page }, members) => page.route('**/sessions/cleanup?dry_run=true', (route) =>
    route.fulfill({ json: { success: true, data: report(new Date(NOW), { dry_run: true, trigger: 'api', ...members }) } }));
const notes = ({ page }) => page.locator('#dialog-notes li').allTextContents();

for (const name of ['Dry run', 'Clean up …']) {
    test(`"${name}" does not report an unadopted table as clean`, async () => {
        const visited = await administrator({ table_items: 42, unindexed_items: 40 });
        await respondToDryRun(visited, {});
        await visited.press(name);
        await visited.waitForText('Of what is on the lists, nothing is due. Whether a cleanup is needed is not known.');
        assert.deepEqual(await notes(visited), [`Not counted: ${UNSEEN} ${ADOPT}`]);
        assert.equal(await visited.page.getByText(/Nothing is due/).count(), 0);
        await visited.press('Close');
        // The note is also shown if something is due.
        await visited.page.unroute('**/sessions/cleanup?dry_run=true');
        await respondToDryRun(visited, { sessions_deactivated: 3 });
        await visited.press(name);
        await visited.waitForText('Sessions to deactivate');
        assert.deepEqual(await notes(visited), [`Not counted: ${UNSEEN} ${ADOPT}`]);
        await endVisit(visited);
    });
}

test('A dry run of an adopted table reports that nothing is due', async () => {
    const visited = await administrator({ table_items: 1_000_000, unindexed_items: 500 });
    await respondToDryRun(visited, {});
    await visited.press('Dry run');
    await visited.waitForText('Nothing is due. A cleanup now would change nothing.');
    assert.deepEqual(await notes(visited), []);
    await endVisit(visited);
});

test('A dry run that finds malformed records reports work to do', async () => {
    const visited = await administrator({});
    await respondToDryRun(visited, { malformed: 2, reindexed: 1 });
    await visited.press('Dry run');
    await visited.waitForText('A cleanup now would do this.');
    assert.deepEqual(await notes(visited), [
        '2 records are malformed. Their attributes stay unchanged. The log has the first 20 keys.',
        '1 record had a wrong entry in the index, which a cleanup repairs.',
    ]);
    await endVisit(visited);
});

for (const [minutes, words] of [[23, 'comes in 23 minutes'], [0, 'is due now'], [-120, 'was due 2 hours ago']]) {
    test(`Before any cleanup, the page says that the first ${words}`, async () => {
        const visited = await administrator({ next_cleanup: at(minutes) }, []);
        await visited.waitForText(`No cleanup has run yet: the first ${words}.`);
        assert.equal(await visited.text('last-note'), `Not yet: the first ${words}`);
        assert.equal(await visited.page.getByRole('slider').count(), 0);
        await endVisit(visited);
    });
}

test('Dry runs do not count as cleanups', async () => {
    const visited = await administrator({ next_cleanup: at(23), last_cleanup: null }, [report(new Date(NOW), { dry_run: true })]);
    await visited.waitForText('Only dry runs are among the last reports. No cleanup has run yet: the first comes in 23 minutes.');
    await endVisit(visited);
});
