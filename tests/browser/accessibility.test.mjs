// Accessibility: keyboard, screen reader, phone, dark colour scheme, reduced motion.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';
import { storeReports, storeUserSessions, report, twoDaysOfReports } from './stack.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

let world;
before(async () => {
    world = await open();
    await storeReports(world.stack, twoDaysOfReports(Date.now() - 1_800_000));
});
after(() => world.close());

/** The violations that axe finds, with all its rules. */
async function violations({ page }) {
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    return found.violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
}

const overflow = ({ page }) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Brings the page into each of its states, one after the other. */
async function* states(visited) {
    yield 'signed out';
    await visited.signIn('naïve');
    await visited.waitForText('That is not a token.');
    yield 'token rejected';
    await visited.signIn(world.stack.tokens.admin);
    await visited.waitForNumbers();
    yield 'signed in';
    await visited.page.route('**/sessions/*', async (route) => {
        const answer = await (await route.fetch()).json();
        answer.data.malformed_records = 2;
        if (answer.data.reports) {
            Object.assign(answer.data.reports[0], { failed: 1, failed_records: ['USER#ann SESSION#1'], adoption_percent: 40, malformed: 7 });
            Object.assign(answer.data.reports[1], { malformed: 512, reindexed: 3 });
            // Two missing reports are shown as a gap.
            answer.data.reports.splice(8, 2);
        } else {
            Object.assign(answer.data, { schedule: 'rate(1 hour)', next_cleanup: new Date(Date.now() - 7_200_000).toISOString(),
                table_items: 42, unindexed_items: 40 });
            answer.data.last_cleanup.malformed = 512;
        }
        await route.fulfill({ json: answer });
    });
    await visited.press('Refresh');
    await visited.page.locator('#reports summary').click();
    await visited.waitForText('late: was due 2 hours ago');
    await visited.page.locator('#last-note .attention').waitFor();
    await visited.page.locator('#chart > svg > .gap').first().waitFor();
    await visited.page.getByRole('slider', { name: 'Run in the chart' }).focus();
    await visited.page.keyboard.press('ArrowLeft');
    yield 'warnings shown';
    await visited.page.locator('#reports').getByRole('button').first().click();
    yield 'report opened';
    await visited.press('Close');
    await visited.page.unroute('**/sessions/*');
    await visited.press('Refresh');
    await visited.press('Clean up …');
    await visited.button('Clean up now').waitFor();
    yield 'waiting for confirmation';
    await visited.press('Cancel');
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    await visited.page.route('**/cleanup?dry_run=true', async (route) => { await held; await route.fulfill({ status: 502 }); });
    await visited.press('Dry run');
    await visited.page.getByRole('progressbar').waitFor();
    yield 'in progress';
    release();
    await visited.waitForText('The API failed (502).');
    yield 'failed';
    await visited.press('Close');
    await visited.page.getByLabel('Started by').selectOption('manual');
    await visited.press('Filter');
    await visited.waitForText(/\d reports? shown/);
    yield 'reports filtered';
    await visited.page.getByLabel('User id').fill('nobody');
    await visited.press('Find');
    await visited.waitForText('nobody has no live sessions.');
    yield 'user without sessions';
    await visited.page.getByLabel('Inactive sessions, too').check();
    await visited.page.getByLabel('User id').fill('ada');
    await visited.press('Find');
    await visited.waitForText(/live session.*inactive/);
    yield 'sessions of a user';
    await visited.page.locator('#sessions .revoke').first().click();
    await visited.waitForText('This signs the user out of 1 session.');
    yield 'confirmation of a revocation';
    await visited.press('Cancel');
    await visited.press('Revoke all …');
    await visited.button('Revoke all').waitFor();
    yield 'confirmation of all revocations';
    await visited.press('Cancel');
    await visited.page.locator('#sessions').getByRole('button', { name: 'Details' }).first().click();
    yield 'session opened';
    await visited.press('Close');
    await visited.context.setOffline(true);
    await visited.waitForText('The numbers below are old');
    await visited.press('Find');
    await visited.page.locator('#user-status.failed').waitFor();
    yield 'offline';
    await visited.context.setOffline(false);
    await visited.press('Forget token');
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    await visited.page.getByLabel('User id').fill('ada');
    await visited.press('Find');
    await visited.waitForText(/^\d+ live session/);
    assert.ok(await visited.button('Revoke all …').isDisabled());
    yield 'reader';
}

for (const [look, options] of [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['on a phone', PHONE],
    ['on a phone, dark', { ...PHONE, colorScheme: 'dark' }],
]) {
    test(`The page passes axe and fits the screen in every state: ${look}`, async () => {
        const visited = await visit(world, options);
        for await (const state of states(visited)) {
            assert.deepEqual(await violations(visited), [], state);
            assert.equal(await overflow(visited), 0, state);
        }
        await endVisit(visited);
    });
}

test('Light and dark colour schemes differ', async () => {
    const colours = [];
    for (const colorScheme of ['light', 'dark']) {
        const visited = await visit(world, { colorScheme });
        colours.push(await visited.page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        await endVisit(visited);
    }
    assert.deepEqual(colours, ['rgb(244, 246, 249)', 'rgb(15, 20, 27)']);
});

test('Keyboard alone can sign in, dry-run and clean up, with visible focus', async () => {
    const visited = await visit(world);
    const { keyboard } = visited.page;
    const focused = () => visited.page.evaluate(() => {
        const { id, textContent } = document.activeElement;
        const style = getComputedStyle(document.activeElement);
        return { id, name: textContent.trim(), seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 };
    });
    const tabTo = async (name) => {
        for (let steps = 0; steps < 20; steps += 1) {
            await keyboard.press('Tab');
            const at = await focused();
            assert.ok(at.seen || at.id === '', `the focus on ${at.name} is not visible`);
            if (at.name === name) return;
        }
        assert.fail(`the Tab key does not reach ${name}`);
    };
    assert.deepEqual(await focused(), { id: 'token', name: '', seen: true });
    await keyboard.type(world.stack.tokens.admin);
    await keyboard.press('Enter');
    await visited.waitForNumbers();
    assert.equal((await focused()).id, 'need-heading');
    await tabTo('Dry run');
    await keyboard.press('Enter');
    await visited.waitForText('A cleanup now would do this.');
    assert.equal((await focused()).name, 'Close');
    await keyboard.press('Enter');
    assert.equal((await focused()).name, 'Dry run');
    await tabTo('Clean up …');
    await keyboard.press('Space');
    await visited.button('Clean up now').waitFor();
    await tabTo('Clean up now');
    await keyboard.press('Space');
    await visited.waitForText('Done in');
    assert.equal((await focused()).name, 'Close');
    await keyboard.press('Enter');
    await visited.page.waitForFunction(() => document.querySelector('#expired').textContent === '0');
    // The keyboard can scroll the table.
    const table = visited.page.getByRole('region', { name: 'Table of the reports' });
    await table.focus();
    await keyboard.press('End');
    await visited.page.waitForFunction(() => document.querySelector('#reports-panel .scroller').scrollTop > 0);
    await endVisit(visited);
});

test('A screen reader gets landmarks, headings, names, and each alert once', async () => {
    const visited = await visit(world);
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    for (const landmark of ['banner', 'main', 'contentinfo']) assert.equal(await visited.page.getByRole(landmark).count(), 1, landmark);
    const headings = await visited.page.getByRole('heading').allTextContents();
    assert.deepEqual(headings, ['Session Cleanup', 'Is a cleanup needed?', 'Sessions now', 'Sessions of a user', 'What the last runs did', 'Reports']);
    assert.equal(await visited.page.getByRole('img', { name: 'What the last runs did' }).count(), 1);
    assert.match(await visited.text('status'), /^Is a cleanup needed\? /);
    await visited.context.setOffline(true);
    await visited.page.getByRole('alert').getByText('No connection to the API.').waitFor();
    await visited.page.evaluate(() => {
        window.said = 0;
        new MutationObserver(() => { window.said += 1; }).observe(document.querySelector('#alert'), { childList: true, subtree: true });
    });
    // A second failure of the same kind is not announced again.
    await visited.press('Refresh');
    await visited.page.evaluate(() => new Promise((resolve) => { setTimeout(resolve, 500); }));
    assert.equal(await visited.page.evaluate(() => window.said), 0);
    await endVisit(visited);
});

test('Every ID in ARIA and label attributes exists', async () => {
    const visited = await visit(world);
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    const lost = await visited.page.evaluate(() => ['aria-labelledby', 'aria-describedby', 'for'].flatMap((name) =>
        [...document.querySelectorAll(`[${name}]`)].flatMap((it) => it.getAttribute(name).split(' ')))
        .filter((id) => !document.getElementById(id)));
    assert.deepEqual(lost, []);
    await endVisit(visited);
});

test('On a phone, tables are stacked rows and not cut', async () => {
    const visited = await visit(world, PHONE);
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    const scroller = visited.page.locator('#reports-panel .scroller');
    const sizes = await scroller.evaluate((it) => ({ inside: it.scrollWidth, outside: it.clientWidth, tab: it.tabIndex }));
    assert.equal(sizes.inside, sizes.outside);
    assert.equal(sizes.tab, 0);
    const [start, outcome] = await Promise.all(['th', '.outcome'].map((it) =>
        visited.page.locator('#reports tr').first().locator(it).boundingBox()));
    assert.ok(start.y + start.height <= outcome.y);
    // Each cell has its label.
    const cells = await visited.page.locator('#reports tr').first().locator('td.number').evaluateAll((all) => all.map((it) =>
        [getComputedStyle(it, '::before').content, it.getBoundingClientRect().right <= window.innerWidth]));
    assert.deepEqual(cells[0], ['"Sessions deactivated "', true]);
    assert.ok(cells.every(([, fits]) => fits));
    assert.equal(await overflow(visited), 0);
    // The chart is drawn for this width, so its text is not scaled down.
    const scale = await visited.page.locator('#chart > svg').evaluate((it) => it.getBoundingClientRect().width / it.viewBox.baseVal.width);
    assert.ok(Math.abs(scale - 1) < 0.01, `${scale}`);
    await visited.page.setViewportSize({ width: 740, height: 360 });
    await visited.page.waitForFunction(() => {
        const drawing = document.querySelector('#chart > svg');
        return Math.abs(drawing.getBoundingClientRect().width - drawing.viewBox.baseVal.width) < 1 && drawing.viewBox.baseVal.width > 500;
    });
    await endVisit(visited);
});

test('A long word does not make the page wider than the screen', async () => {
    const user = 'n'.repeat(250);
    const word = { user_agent: 'a'.repeat(300), ip_address: 'i'.repeat(80), client_id: 'c'.repeat(300) };
    await storeUserSessions(world.stack, user, [{ ...word, session_id: 's'.repeat(250) }, { ...word, inactive: 'r'.repeat(100) }]);
    // The narrowest phone, the two widths between which tables change, and a screen.
    for (const width of [320, 1_024, 1_040, 1_280]) {
        const visited = await visit(world, { viewport: { width, height: 640 } });
        await visited.page.route('**/sessions/*', async (route) => {
            const answer = await (await route.fetch()).json();
            const long = report(new Date(), { trigger: 'api', requested_by: 'u'.repeat(256), error: 'e'.repeat(400) });
            if (answer.data.reports) answer.data.reports.unshift(long);
            else answer.data.last_cleanup = long;
            await route.fulfill({ json: answer });
        });
        await visited.signIn(world.stack.tokens.admin);
        await visited.waitForNumbers();
        await visited.waitForText('u'.repeat(256));
        assert.equal(await overflow(visited), 0, `${width}`);
        await visited.page.getByLabel('Inactive sessions, too').check();
        await visited.page.getByLabel('User id').fill(user);
        await visited.press('Find');
        await visited.waitForText(/live session/);
        assert.equal(await overflow(visited), 0, `${width}`);
        for (const open of [visited.page.locator('#sessions').getByRole('button', { name: 'Details' }), visited.page.locator('#sessions .revoke')]) {
            await open.first().click();
            assert.equal(await visited.page.locator('dialog[open]').evaluate((it) => it.scrollWidth - it.clientWidth), 0, `${width}`);
            await visited.page.keyboard.press('Escape');
        }
        await endVisit(visited);
    }
});

for (const [reducedMotion, expected] of [['no-preference', 'at-work'], ['reduce', 'none']]) {
    test(`With reduced motion "${reducedMotion}", the progress animation is "${expected}"`, async () => {
        const visited = await visit(world, { reducedMotion });
        await visited.signIn(world.stack.tokens.admin);
        await visited.waitForNumbers();
        let release;
        const held = new Promise((resolve) => { release = resolve; });
        await visited.page.route('**/cleanup?dry_run=true', async (route) => { await held; await route.continue(); });
        await visited.press('Dry run');
        const bar = visited.page.getByRole('progressbar');
        await bar.waitFor();
        assert.equal(await bar.evaluate((it) => getComputedStyle(it).animationName), expected);
        release();
        await visited.button('Close').waitFor();
        await endVisit(visited);
    });
}
