// The table of reports: details, filter, older pages, CSV, time zones.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';
import { fetchFromApi, report, respondWithReports, storeReports } from './stack.mjs';

const MINUTE = 60_000;
const COUNT = 230;
// Each third run is by API, and the newest of these has a name that a spreadsheet would run.
const START = Date.now() - 3 * MINUTE;
const RUNS = Array.from({ length: COUNT }, (_, index) => report(new Date(START - index * 10 * MINUTE),
    index % 3 === 0 ? { trigger: 'api', requested_by: index === 0 ? '=1+1' : `ada-${index}`, sessions_deactivated: index + 1 } : { sessions_deactivated: index + 1 }));

let world;
before(async () => {
    world = await open('--empty');
    await storeReports(world.stack, RUNS);
});
after(() => world.close());

async function reader(options) {
    const visited = await visit(world, options);
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    const { page } = visited;
    return {
        ...visited,
        /** Start times of the runs in the table. */
        started: () => page.locator('#reports tr th time').evaluateAll((all) => all.map((it) => it.dateTime)),
        openDetails: (row) => page.locator('#reports tr').nth(row).getByRole('button', { name: /^Details of the run of / }).click(),
    };
}

const times = (runs) => runs.map((it) => it.started_at);

test('A report opens to all its fields, with the run id to copy', async () => {
    const visited = await reader();
    await visited.context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const { reports: [, second] } = await fetchFromApi(world.stack, 'cleanups?limit=2');
    await visited.openDetails(1);
    const fields = await visited.page.locator('#details-fields > div').evaluateAll((all) => all.map((it) =>
        [it.querySelector('dt').textContent, it.querySelector('dd').textContent]));
    assert.deepEqual(fields[0], ['run id', second.run_id]);
    assert.deepEqual(fields.map(([name]) => name).sort(),
        Object.keys(second).map((it) => it.replace(/_ms$/, '').replaceAll('_', ' ')).sort());
    const shown = Object.fromEntries(fields);
    // Both times, to the second.
    const berlin = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'Europe/Berlin' });
    assert.equal(shown['started at'], `${berlin.format(new Date(second.started_at))} (Europe/Berlin), `
        + `${second.started_at.slice(0, 19).replace('T', ' ')} UTC`);
    assert.deepEqual([shown.complete, shown['dry run'], shown['requested by'], shown.duration], ['yes', 'no', '–', '1.5 s']);
    assert.equal(await visited.page.evaluate(() => document.activeElement.id), 'details-heading');
    await visited.press('Copy run id');
    await visited.waitForText('Copied.');
    assert.equal(await visited.page.evaluate(() => navigator.clipboard.readText()), second.run_id);
    await visited.page.keyboard.press('Escape');
    assert.equal(await visited.page.locator('#details').isVisible(), false);
    assert.match(await visited.page.evaluate(() => document.activeElement.ariaLabel), /^Details of the run of /);
    await endVisit(visited);
});

test('If the browser does not allow to copy, the page says so', async () => {
    const visited = await reader();
    await visited.page.evaluate(() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); });
    await visited.openDetails(0);
    await visited.press('Copy run id');
    await visited.waitForText(`The browser does not allow it. Copy it from the list: ${RUNS[0].run_id}`);
    await endVisit(visited);
});

test('Rejected records and errors in the details are text', async () => {
    const visited = await reader({ before: (page) => respondWithReports(page, [report(new Date(),
        { failed_records: ['USER#<b>a</b>', 'USER#b\u202ec'], error: '<img src=x>', adoption_percent: 40, more: { a: 1 } })]) });
    await visited.openDetails(0);
    const fields = await visited.page.locator('#details-fields > div').allTextContents();
    for (const text of ['failed recordsUSER#<b>a</b>, USER#b\ufffdc', 'error<img src=x>', 'adoption percent40', 'more{"a":1}']) assert.ok(fields.includes(text), text);
    await endVisit(visited);
});

test('Older reports are added page by page until the first', async () => {
    const visited = await reader();
    assert.deepEqual(await visited.started(), times(RUNS.slice(0, 48)));
    for (let shown = 48; shown < COUNT;) {
        await visited.press('Older reports');
        await visited.page.waitForFunction((count) => document.querySelectorAll('#reports tr').length > count, shown);
        const now = await visited.started();
        assert.deepEqual(now, times(RUNS.slice(0, now.length)));
        shown = now.length;
    }
    assert.equal(await visited.text('reports-status'), '230 reports shown: these are all.');
    assert.equal(await visited.button('Older reports').isVisible(), false);
    // The button is gone, so the focus is on the first new row.
    assert.equal(await visited.page.evaluate(() => document.activeElement.closest('tbody')?.id), 'reports');
    // The chart still has the last 48 runs.
    assert.equal(await visited.page.locator('#chart rect.deactivated').count(), 48);
    await endVisit(visited);
});

test('A refresh keeps older reports, the focus, and opened rows', async () => {
    const failed = report(new Date(START + MINUTE), { failed: 1, failed_records: ['USER#ann SESSION#1'] });
    let reports = [failed, ...RUNS.slice(0, 60)];
    const visited = await reader({ before: (page) => page.route('**/sessions/cleanups*', (route) =>
        route.fulfill({ json: { success: true, data: { reports, next: null } } })) });
    await visited.press('Older reports');
    await visited.page.locator('#reports summary').click();
    await visited.page.locator('#reports tr').nth(2).getByRole('button').focus();
    const newest = report(new Date(), { sessions_deactivated: 4_711 });
    reports = [newest, ...reports];
    await visited.page.evaluate(() => dispatchEvent(new Event('online')));
    await visited.waitForText('4,711');
    assert.deepEqual(await visited.started(), times(reports));
    assert.equal(await visited.page.evaluate(() => document.activeElement.closest('tr')?.rowIndex), 2 + 2 + 1);
    assert.ok(await visited.page.getByText('USER#ann SESSION#1').isVisible());
    await endVisit(visited);
});

test('The filter shows only matching reports, also after a refresh, until it is cleared', async () => {
    const visited = await reader();
    const { page } = visited;
    const input = (time) => {
        const at = new Date(time);
        return new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short', timeZone: 'Europe/Berlin' }).format(at).replace(' ', 'T');
    };
    const [to, from] = [RUNS[20], RUNS[100]].map((it) => Date.parse(it.started_at));
    await page.getByLabel('Started by').selectOption('API or this page');
    await page.getByLabel('From').fill(input(from));
    await page.getByLabel('To', { exact: true }).fill(input(to));
    await visited.press('Filter');
    await visited.waitForText(/reports? shown: these are all\./);
    // The fields have no seconds.
    const minute = (time) => Math.floor(time / MINUTE) * MINUTE;
    const expected = times(RUNS.filter((it) => it.trigger === 'api'
        && Date.parse(it.started_at) >= minute(from) && Date.parse(it.started_at) < minute(to)));
    assert.equal(expected.length, 27);
    assert.deepEqual(await visited.started(), expected);
    const url = new URL(visited.requests.at(-1).url());
    assert.deepEqual([url.searchParams.get('trigger'), Date.parse(url.searchParams.get('from')), Date.parse(url.searchParams.get('to'))],
        ['api', minute(from), minute(to)]);
    const answered = page.waitForResponse(/cleanups/);
    await visited.press('Refresh');
    await (await answered).finished();
    await page.waitForFunction(() => document.querySelector('#refreshed').textContent.startsWith('Refreshed'));
    assert.deepEqual(await visited.started(), expected);
    assert.equal(await page.locator('#chart rect.deactivated').count(), 48);
    await page.getByLabel('Started by').selectOption('anything');
    for (const name of ['From', 'To']) await page.getByLabel(name, { exact: true }).fill('');
    await visited.press('Filter');
    assert.deepEqual(await visited.started(), times(RUNS.slice(0, 48)));
    assert.equal(await visited.text('reports-status'), '');
    await endVisit(visited);
});

test('A filter without matches, and one that is rejected, say so', async () => {
    const visited = await reader();
    await visited.page.getByLabel('Started by').selectOption('manual');
    await visited.press('Filter');
    await visited.waitForText('0 reports shown: these are all.');
    assert.ok(await visited.page.locator('#reports-panel').isVisible());
    await visited.page.getByLabel('From').fill('2026-02-01T00:00');
    await visited.page.getByLabel('To', { exact: true }).fill('2026-01-01T00:00');
    await visited.press('Filter');
    await visited.waitForText('The API rejected the request (400): “from must be before to”.');
    assert.equal(await visited.page.locator('#reports-status').getAttribute('class'), 'failed');
    await endVisit(visited);
});

test('The CSV has all reports of the filter, one header, and no formulas', async () => {
    const visited = await reader();
    const download = async () => {
        const [file] = await Promise.all([visited.page.waitForEvent('download'), visited.press('Download CSV')]);
        assert.equal(file.suggestedFilename(), 'cleanups.csv');
        return (await readFile(await file.path(), 'utf8')).split('\r\n');
    };
    const all = await download();
    assert.match(all[0], /^run_id,trigger,requested_by,/);
    assert.deepEqual(all.slice(1).map((line) => line.split(',')[0]), [...RUNS.map((it) => it.run_id), '']);
    assert.equal(all[1].split(',')[2], "'=1+1");
    await visited.waitForText('The file has all reports of this filter.');
    await visited.page.getByLabel('Started by').selectOption('API or this page');
    await visited.press('Filter');
    await visited.waitForText(/reports shown/);
    assert.deepEqual((await download()).slice(1).map((line) => line.split(',')[0]),
        [...RUNS.filter((it) => it.trigger === 'api').map((it) => it.run_id), '']);
    await endVisit(visited);
});

test('A download waits when the API limits its rate', async () => {
    const visited = await reader();
    let answers = 0;
    await visited.page.route('**/sessions/cleanups*', (route) => {
        answers += 1;
        return answers === 2 ? route.fulfill({ status: 429, json: { message: 'Too Many Requests' } }) : route.continue();
    });
    const [file] = await Promise.all([visited.page.waitForEvent('download'), visited.press('Download CSV')]);
    assert.equal((await readFile(await file.path(), 'utf8')).split('\r\n').length, 1 + COUNT + 1);
    assert.equal(answers, 4);
    await endVisit(visited);
});

test('A failed download is explained', async () => {
    const visited = await reader();
    for (const [answer, words] of [
        [{ status: 500, json: { error: 'Internal server error' } }, 'The API failed (500)'],
        [{ contentType: 'text/html', body: '<h1>Sign in</h1>' }, 'The answer was not one of the API’s.'],
    ]) {
        const isCsv = (route) => (route.request().headers().accept === 'text/csv' ? route.fulfill(answer) : route.continue());
        await visited.page.route('**/sessions/cleanups*', isCsv);
        await visited.press('Download CSV');
        await visited.waitForText(words);
        await visited.page.unroute('**/sessions/cleanups*', isCsv);
    }
    await endVisit(visited);
});

test('Times switch to UTC everywhere and back', async () => {
    const visited = await reader();
    const { page } = visited;
    const { started_at: iso } = RUNS[0];
    const clock = (timeZone) => new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone }).format(new Date(iso));
    const shown = () => Promise.all([page.locator('#reports time').first().textContent(), page.locator('#last time').textContent(),
        page.getByRole('slider').getAttribute('aria-valuetext')]);
    const axis = () => page.locator('#chart > svg > text').allTextContents();
    await page.getByRole('slider').focus();
    const local = await shown();
    for (const text of local) assert.ok(text.includes(clock('Europe/Berlin')), text);
    await page.getByLabel('From').fill('2026-07-01T12:00');
    const before = await axis();
    await page.getByLabel('Times').selectOption('UTC');
    for (const text of await shown()) assert.ok(text.includes(clock('UTC')), text);
    assert.equal(await visited.text('zone'), 'UTC');
    // The tooltip has the other zone, and the filter keeps its moment.
    assert.match(await page.locator('#reports time').first().getAttribute('title'), new RegExp(`${clock('Europe/Berlin')}:\\d\\d, Europe/Berlin$`));
    assert.equal(await page.getByLabel('From').inputValue(), '2026-07-01T10:00');
    assert.notDeepEqual(await axis(), before);
    await page.getByLabel('Times').selectOption('local');
    assert.deepEqual(await shown(), local);
    assert.deepEqual(await axis(), before);
    assert.equal(await page.getByLabel('From').inputValue(), '2026-07-01T12:00');
    await endVisit(visited);
});
