// The sessions of a user: find, show, revoke.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';
import { sessionsOf, startStack, storeUserSessions } from './stack.mjs';
import { startGateway } from './gateway.mjs';

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) '
    + 'Version/18.6 Mobile/15E148 Safari/604.1';
const CHROME = 'AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0';
const MARKUP = '<img src=x onerror="window.ran = true"><script>window.ran = true</script>';

let world;
before(async () => { world = await open('--empty'); });
after(() => world.close());

let users = 0;
/** Stores sessions of a new user. Returns the user's id. */
async function userWith(...sessions) {
    users += 1;
    const user = `user ${users}/é#?%`;
    await storeUserSessions(world.stack, user, sessions);
    return user;
}

async function signedIn(holder = 'admin', options = {}) {
    const visited = await visit(world, options);
    await visited.signIn(world.stack.tokens[holder]);
    await visited.waitForNumbers();
    return { ...visited, ...finder(visited) };
}

const finder = ({ page, press }) => ({
    find: async (user, words = /\d live session|has no/) => {
        await page.getByLabel('User id').fill(user);
        await press('Find');
        await page.locator('#user-status').getByText(words).waitFor();
    },
    rows: () => page.locator('#sessions tr').evaluateAll((all) => all.map((row) =>
        [...row.cells].slice(0, -1).map((cell) => cell.textContent))),
    rowButton: (name, row = 0) => page.locator('#sessions tr').nth(row).getByRole('button', { name }),
    facts: () => page.locator('#dialog-counts > div').allTextContents(),
    changes: (requests) => requests.filter((it) => it.method() !== 'GET').map((it) => [it.method(), new URL(it.url()).pathname]),
});

test('A user’s sessions are shown newest first, with device, address, times and state', async () => {
    const user = await userWith(
        { user_agent: IPHONE, ip_address: '192.0.2.1' },
        { user_agent: FIREFOX, ip_address: '2001:db8::1', last_used_at: Math.floor(Date.now() / 1_000) - 60 },
        {},
    );
    const visited = await signedIn('reader');
    await visited.find(user);
    assert.equal(await visited.text('user-heading'), `Sessions of ${user}`);
    assert.match(await visited.text('user-status'), /^3 live sessions\. As of \d\d:\d\d:\d\d\.$/);
    const rows = await visited.rows();
    assert.deepEqual(rows.map(([device, address]) => [device, address]),
        [['Unknown device', '–'], ['Firefox 140 on Linux', '2001:db8::1'], ['Safari 18 on iPhone', '192.0.2.1']]);
    assert.deepEqual(rows.map((row) => row.at(-1)), ['live', 'live', 'live']);
    const times = await visited.page.locator('#sessions tr').nth(1).locator('time').evaluateAll((all) => all.map((it) => Date.parse(it.dateTime)));
    const [session] = (await sessionsOf(world.stack, user)).filter((it) => it.last_used_at);
    assert.deepEqual(times, [session.created_at, session.last_used_at, session.expires_at].map((it) => Date.parse(it)));
    assert.equal(rows[0][3], 'not recorded');
    await endVisit(visited);
});

test('Inactive sessions are shown on request, with reason and time', async () => {
    const user = await userWith({ inactive: 'logout' }, { inactive: 'refresh_reused' }, { inactive: 'own_reason' }, {},
        { expires_at: Math.floor(Date.now() / 1_000) - 10 });
    const visited = await signedIn();
    await visited.find(user);
    assert.equal((await visited.rows()).length, 1);
    await visited.page.getByLabel('Inactive sessions, too').check();
    await visited.waitForText('1 live session, 4 inactive.');
    const states = (await visited.rows()).map((row) => row.at(-1).replace(/, \d+ \w+, \d\d:\d\d$/, ', time'));
    assert.deepEqual(states, ['inactive: expired', 'live', 'inactive: own_reason, time',
        'inactive: an old refresh token was used again, time', 'inactive: signed out, time']);
    // Only live sessions can be revoked.
    assert.equal(await visited.page.locator('#sessions .revoke').count(), 1);
    await visited.page.getByLabel('Inactive sessions, too').uncheck();
    await visited.page.waitForFunction(() => document.querySelectorAll('#sessions tr').length === 1);
    await endVisit(visited);
});

test('Revoking a session shows user and device first, and deactivates only that one', async () => {
    const user = await userWith({ user_agent: IPHONE }, { user_agent: FIREFOX, ip_address: '192.0.2.9', session_id: 'a/b#?é' });
    const visited = await signedIn();
    await visited.find(user);
    await visited.rowButton(/^Revoke … Firefox 140 on Linux/).click();
    await visited.waitForText('This signs the user out of 1 session. Its tokens are denied from the next request on. It cannot be undone.');
    const facts = await visited.facts();
    assert.deepEqual([facts[0], facts[1], facts[2], facts[4]],
        [`User${user}`, 'DeviceFirefox 140 on Linux', 'Address192.0.2.9', 'Sessiona/b#?é']);
    // The safe choice has the focus, and cancelling changes nothing.
    assert.equal(await visited.page.evaluate(() => document.activeElement.textContent), 'Cancel');
    await visited.press('Cancel');
    assert.equal((await sessionsOf(world.stack, user)).length, 2);
    assert.deepEqual(visited.changes(visited.requests), []);
    await visited.rowButton(/^Revoke …/).click();
    await visited.press('Revoke 1 session');
    await visited.waitForText('1 session revoked.');
    await visited.press('Close');
    assert.match((await visited.rows())[0].at(-1), /^inactive: revoked, /);
    assert.deepEqual((await sessionsOf(world.stack, user)).map((it) => it.user_agent), [IPHONE]);
    assert.deepEqual(visited.changes(visited.requests),
        [['DELETE', `/api/v1/monitoring/users/${encodeURIComponent(user)}/sessions/${encodeURIComponent('a/b#?é')}`]]);
    await endVisit(visited);
});

test('Revoking all sessions shows their exact number and devices first', async () => {
    const user = await userWith(...Array(27).fill({ user_agent: FIREFOX }), { user_agent: IPHONE }, { inactive: 'logout', user_agent: IPHONE });
    const visited = await signedIn();
    await visited.find(user);
    await visited.press('Revoke all …');
    await visited.waitForText('This signs the user out of all 28 sessions.');
    assert.deepEqual(await visited.facts(), [`User${user}`, 'Live sessions28', 'DevicesSafari 18 on iPhone, Firefox 140 on Linux (27)']);
    assert.equal((await sessionsOf(world.stack, user)).length, 28);
    await visited.press('Revoke all');
    await visited.waitForText('28 sessions revoked.');
    await visited.press('Close');
    await visited.waitForText(`${user} has no live sessions.`);
    assert.deepEqual(await sessionsOf(world.stack, user), []);
    await endVisit(visited);
});

test('A user without live sessions offers nothing to revoke', async () => {
    const user = await userWith({ inactive: 'logout' });
    const visited = await signedIn();
    await visited.page.getByLabel('Inactive sessions, too').check();
    await visited.find(user);
    await visited.press('Revoke all …');
    await visited.waitForText('No session is live. There is nothing to revoke.');
    assert.equal(await visited.button('Revoke all').isVisible(), false);
    await visited.press('Close');
    await endVisit(visited);
});

test('A session that was deactivated in the meantime is reported as such', async () => {
    const user = await userWith({ session_id: 'twice' });
    const visited = await signedIn();
    await visited.find(user);
    await storeUserSessions(world.stack, user, [{ session_id: 'twice', inactive: 'logout' }]);
    await visited.rowButton(/^Revoke/).click();
    await visited.press('Revoke 1 session');
    await visited.waitForText('The session was already inactive: signed out.');
    await visited.press('Close');
    assert.match((await visited.rows())[0].at(-1), /^inactive: signed out, /);
    await endVisit(visited);
});

test('Older sessions are added on request, and the focus moves to them', async () => {
    const user = await userWith(...Array.from({ length: 60 }, (_, index) => ({ ip_address: `192.0.2.${index}` })));
    const visited = await signedIn();
    await visited.find(user);
    assert.match(await visited.text('user-status'), /^25 live sessions, and older ones that are not shown yet\./);
    await visited.press('Older sessions');
    await visited.waitForText(/^50 live sessions, and older ones/);
    assert.equal(await visited.page.evaluate(() => document.activeElement.id), 'older-sessions');
    await visited.press('Older sessions');
    await visited.waitForText(/^60 live sessions\./);
    assert.deepEqual((await visited.rows()).map(([, address]) => address),
        Array.from({ length: 60 }, (_, index) => `192.0.2.${59 - index}`));
    assert.equal(await visited.button('Older sessions').isVisible(), false);
    assert.equal(await visited.page.evaluate(() => document.activeElement.closest('tr').rowIndex), 51);
    await endVisit(visited);
});

test('An unknown user has no sessions, and no id sends no request', async () => {
    const visited = await signedIn();
    await visited.find('nobody');
    assert.equal(await visited.text('user-status'), 'nobody has no live sessions. The user id must match exactly. As of '
        + `${(await visited.text('user-status')).match(/\d\d:\d\d:\d\d/)[0]}.`);
    assert.equal(await visited.page.locator('#user-sessions').isVisible(), false);
    const count = visited.requests.length;
    await visited.find('  ', 'Enter a user id.');
    assert.equal(await visited.page.evaluate(() => document.activeElement.id), 'user');
    assert.equal(visited.requests.length, count);
    await endVisit(visited);
});

test('A reader can see sessions, and sees that revoking is not allowed', async () => {
    const user = await userWith({});
    const visited = await signedIn('reader');
    await visited.find(user);
    for (const button of [visited.button('Revoke all …'), visited.rowButton(/^Revoke/), visited.button('Dry run'), visited.button('Clean up …')]) {
        assert.ok(await button.isDisabled());
        const reason = await button.evaluate((it) => document.getElementById(it.getAttribute('aria-describedby')).innerText);
        assert.match(reason, /^Your token may only read\. .+ needs the scope\s+sessions:admin\.$/);
    }
    assert.equal(await visited.page.locator('.read-only:visible').count(), 2);
    assert.equal(await visited.text('token-life').then((it) => it.split(',')[0]), 'read only');
    await visited.rowButton(/^Details/).click();
    await visited.press('Close');
    // The next token may do both.
    await visited.press('Forget token');
    await visited.signIn(world.stack.tokens.admin);
    await visited.waitForNumbers();
    await visited.find(user);
    for (const button of [visited.button('Revoke all …'), visited.rowButton(/^Revoke/), visited.button('Dry run')]) assert.ok(await button.isEnabled());
    assert.equal(await visited.page.locator('.read-only:visible').count(), 0);
    await endVisit(visited);
});

test('Nothing can be changed before the page knows what the token allows', async () => {
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    const visited = await visit(world);
    await visited.page.route('**/sessions/stats', async (route) => { await held; await route.continue(); });
    const asked = visited.page.waitForRequest(/stats/);
    await visited.signIn(world.stack.tokens.reader);
    await asked;
    assert.ok(await visited.button('Clean up …').isDisabled());
    release();
    await visited.waitForNumbers();
    assert.ok(await visited.button('Clean up …').isDisabled());
    await endVisit(visited);
});

test('The session of the page’s own token is marked, and revoking it asks for another token', async (t) => {
    const stack = await startStack('--empty');
    t.after(stack.stop);
    const gateway = await startGateway(stack.origin);
    t.after(gateway.stop);
    const visited = await visit({ ...world, gateway });
    const { find, rowButton } = finder(visited);
    await visited.signIn(stack.tokens.admin);
    await visited.waitForNumbers();
    await find('ada');
    await visited.page.locator('#sessions').getByText('your token').waitFor();
    await rowButton(/^Revoke/).click();
    await visited.waitForText('Your own token belongs to one of them. To use this page afterwards, you need another token.');
    await visited.press('Cancel');
    await visited.press('Revoke all …');
    await visited.waitForText('Your own token belongs to');
    await visited.press('Revoke all');
    await visited.waitForText('The API rejected the token (401): “Session inactive”.');
    assert.ok(await visited.page.getByLabel('Token', { exact: true }).isVisible());
    await endVisit(visited);
});

test('Markup in any value of a session is shown as text', async () => {
    const user = `x${MARKUP}`;
    const product = '<b>bold</b>/1';
    await storeUserSessions(world.stack, user, [
        { session_id: MARKUP, user_agent: MARKUP, ip_address: MARKUP, client_id: MARKUP, inactive: MARKUP },
        { user_agent: product, ip_address: 'a\u202eb' },
    ]);
    const visited = await signedIn();
    await visited.page.getByLabel('Inactive sessions, too').check();
    await visited.find(user);
    const [shown, hostile] = await visited.rows();
    assert.deepEqual(shown.slice(0, 2), ['<b>bold< b>/1', 'a\ufffdb']);
    assert.equal(hostile[1], MARKUP);
    assert.ok(hostile.at(-1).startsWith(`inactive: ${MARKUP}`));
    assert.equal(await visited.text('user-heading'), `Sessions of ${user}`);
    await visited.rowButton(/^Details/, 1).click();
    const details = await visited.page.locator('#details-fields > div').allTextContents();
    for (const name of ['session id', 'user agent', 'ip address', 'client id', 'deactivation reason']) assert.ok(details.includes(name + MARKUP), name);
    await visited.press('Close');
    await visited.rowButton(/^Revoke/).click();
    await visited.waitForText('This signs the user out');
    assert.equal((await visited.facts())[0], `User${user}`);
    await visited.press('Cancel');
    assert.equal(await visited.page.locator('main img, main b, dialog img, dialog b, main script').count(), 0);
    assert.equal(await visited.page.evaluate(() => window.ran), undefined);
    await endVisit(visited);
});

test('Keyboard alone can find a user and revoke a session', async () => {
    const user = await userWith({ user_agent: IPHONE }, { user_agent: FIREFOX });
    const visited = await signedIn();
    const { keyboard } = visited.page;
    const focused = () => visited.page.evaluate(() => {
        const style = getComputedStyle(document.activeElement);
        const name = document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim();
        return { id: document.activeElement.id, name, seen: style.outlineStyle !== 'none' };
    });
    const tabTo = async (pattern) => {
        for (let steps = 0; steps < 20; steps += 1) {
            await keyboard.press('Tab');
            const { id, name, seen } = await focused();
            assert.ok(seen, `the focus on ${name} is not visible`);
            if (pattern.test(id) || pattern.test(name)) return;
        }
        assert.fail(`the Tab key does not reach ${pattern}`);
    };
    await tabTo(/^user$/);
    await keyboard.type(user);
    await keyboard.press('Enter');
    await visited.waitForText('2 live sessions.');
    await tabTo(/^Revoke … Firefox/);
    await keyboard.press('Enter');
    await visited.waitForText('This signs the user out of 1 session.');
    await keyboard.press('Escape');
    assert.match((await focused()).name, /^Revoke … Firefox/);
    await keyboard.press('Enter');
    await tabTo(/^Revoke 1 session$/);
    await keyboard.press('Enter');
    await visited.waitForText('1 session revoked.');
    await keyboard.press('Enter');
    // The button that had the focus is gone.
    assert.equal((await focused()).id, 'find-heading');
    assert.equal((await sessionsOf(world.stack, user)).length, 1);
    await endVisit(visited);
});

for (const [what, method, answer, words] of [
    ['A failed search', 'GET', { status: 500, json: { error: 'Internal server error' } }, 'The API failed (500): “Internal server error”. Try again later.'],
    ['A search that is not allowed', 'GET', { status: 403, json: { error: 'Forbidden' } }, 'This token may not read the sessions (403).'],
    ['An answer of another service', 'GET', { json: { success: true, data: { sessions: [{}] } } }, 'The answer was not one of the API’s.'],
    ['A session that is gone', 'DELETE', { status: 404, json: { error: 'Session not found' } }, 'This session does not exist any more (404). Find the user again.'],
    ['A revocation that is not allowed', 'DELETE', { status: 403, json: { error: 'Forbidden' } }, 'This token may not revoke sessions (403). That needs the scope sessions:admin.'],
    ['A revocation without an answer', 'DELETE', { status: 504, json: { error: 'Timed out' } }, 'It is not known whether sessions were revoked: press Find again.'],
]) {
    test(`${what} is explained, and the page stays usable`, async () => {
        const user = await userWith({});
        const visited = await signedIn();
        const isThis = (route) => (route.request().method() === method ? route.fulfill(answer) : route.continue());
        if (method === 'DELETE') await visited.find(user);
        await visited.page.route('**/users/**', isThis);
        if (method === 'GET') await visited.find(user, words);
        else {
            await visited.rowButton(/^Revoke/).click();
            await visited.press('Revoke 1 session');
            await visited.page.locator('#dialog-status').getByText(words).waitFor();
            await visited.press('Close');
        }
        await visited.page.unroute('**/users/**', isThis);
        await visited.find(user);
        assert.equal((await visited.rows()).length, 1);
        await endVisit(visited);
    });
}

for (const [when, act] of [
    ['searching', (visited) => visited.press('Find')],
    ['revoking', async (visited) => { await visited.rowButton(/^Revoke/).click(); await visited.press('Revoke 1 session'); }],
]) {
    test(`A token that expires while ${when} returns to sign-in and removes the sessions`, async () => {
        const user = await userWith({ ip_address: '192.0.2.77' });
        const visited = await signedIn();
        await visited.find(user);
        await visited.page.route('**/users/**', (route) => route.fulfill({ status: 401, json: { error: 'Token expired' } }));
        await act(visited);
        await visited.waitForText('The API rejected the token (401): “Token expired”.');
        assert.equal(await visited.page.getByText('192.0.2.77').count(), 0);
        assert.equal(await visited.page.getByText(user).count(), 0);
        assert.equal(await visited.page.locator('#user').inputValue(), '');
        await endVisit(visited);
    });
}

test('The answer to an earlier search is not shown', async () => {
    const [first, second] = [await userWith({ ip_address: '192.0.2.1' }), await userWith({ ip_address: '192.0.2.2' })];
    const visited = await signedIn();
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    const path = `**/users/${encodeURIComponent(first)}/**`;
    await visited.page.route(path, async (route) => { await held; await route.continue(); });
    await visited.page.getByLabel('User id').fill(first);
    const asked = visited.page.waitForRequest(/\/users\//);
    await visited.press('Find');
    await asked;
    await visited.find(second);
    const answered = visited.page.waitForResponse(/\/users\//);
    release();
    await (await answered).finished();
    await visited.page.evaluate(() => new Promise((resolve) => { setTimeout(resolve, 100); }));
    assert.deepEqual((await visited.rows()).map((row) => row[1]), ['192.0.2.2']);
    await endVisit(visited);
});

const DEVICES = [
    [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${CHROME} Safari/537.36`, 'Chrome 141 on Windows'],
    [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${CHROME} Safari/537.36 Edg/141.0.0.0`, 'Edge 141 on Windows'],
    [`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${CHROME} Safari/537.36 OPR/122.0.0.0`, 'Opera 122 on Windows'],
    ['Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36',
        'Samsung Internet 28 on Android'],
    [`Mozilla/5.0 (Linux; Android 10; K) ${CHROME} Mobile Safari/537.36`, 'Chrome 141 on Android'],
    [`Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${CHROME} Safari/537.36`, 'Chrome 141 on ChromeOS'],
    ['Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/141.0.7390.96 Mobile/15E148 Safari/604.1',
        'Chrome 141 on iPhone'],
    ['Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/143.0 Mobile/15E148 Safari/605.1.15', 'Firefox 143 on iPad'],
    ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15', 'Safari 26 on macOS'],
    [IPHONE, 'Safari 18 on iPhone'],
    ['Mozilla/5.0', 'Unknown browser'],
    ['curl/8.14.1', 'curl 8.14.1'],
    ['okhttp/4.12.0', 'okhttp 4.12.0'],
    ['Shop/4.2 (Android 15)', 'Shop 4.2 on Android'],
    ['(compatible)', 'Unknown browser'],
    ['n'.repeat(500), 'n'.repeat(40)],
];

test('Devices have short names', async () => {
    const user = await userWith(...DEVICES.slice().reverse().map(([user_agent]) => ({ user_agent })));
    const visited = await signedIn();
    await visited.find(user);
    assert.deepEqual((await visited.rows()).map(([device]) => device), DEVICES.map(([, name]) => name));
    // The whole user agent is in the details.
    await visited.rowButton(/^Details/).click();
    assert.ok((await visited.page.locator('#details-fields > div').allTextContents()).includes(`user agent${DEVICES[0][0]}`));
    await endVisit(visited);
});
