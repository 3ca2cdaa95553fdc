// Error messages, and that the page stays usable after a failure.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';

let world;
before(async () => { world = await open(); });
after(() => world.close());

const withClock = { before: (page) => page.clock.install() };

async function signedIn(options, token = world.stack.tokens.reader) {
    const visited = await visit(world, options);
    await visited.signIn(token);
    await visited.waitForNumbers();
    return visited;
}

for (const [what, holder, reason, advice] of [
    ['a wrong token', null, 'Invalid token', 'It may have been cut off'],
    ['an expired token', 'expiredToken', 'Token expired', 'Get a new one'],
    // The first call deactivates the session, so the second call may report it as inactive.
    ['a user whose session has expired', 'expiredSession', 'Session (expired|inactive)', 'Log in to your application again'],
]) {
    test(`For ${what}, the page shows the reason and asks for another token`, async () => {
        const visited = await visit(world);
        await visited.signIn(holder ? world.stack.tokens[holder] : 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl');
        await visited.waitForText(new RegExp(`The API rejected the token \\(401\\): “${reason}”`));
        await visited.waitForText(advice);
        const field = visited.page.getByLabel('Token', { exact: true });
        assert.ok(await field.isVisible());
        assert.equal(await field.inputValue(), '');
        assert.equal(await visited.page.evaluate(() => document.activeElement.id), 'token');
        assert.equal(await visited.page.locator('#dashboard').isVisible(), false);
        // The next token is accepted, and the message disappears.
        await visited.signIn(world.stack.tokens.reader);
        await visited.waitForNumbers();
        assert.equal(await visited.text('alert'), '');
        await endVisit(visited);
    });
}

for (const [how, paste] of [
    ['`Bearer` before it', (token) => `Bearer ${token}`],
    ['a whole header', (token) => `Authorization: Bearer ${token}`],
    ['blanks and a line end around it', (token) => `  ${token} \n`],
    ['a line end after `bearer`', (token) => `bearer\n${token}`],
    ['quotes', (token) => `"${token}"`],
    ['a whole curl line', (token) => `curl -s -H 'Authorization: Bearer ${token}' http://127.0.0.1:8080/x.y.z`],
]) {
    test(`A token pasted with ${how} is accepted`, async () => {
        await endVisit(await signedIn({}, paste(world.stack.tokens.reader)));
    });
}

for (const [what, pasted, words] of [
    ['Nothing', '  ', 'There is no token yet.'],
    ['Text that cannot be a token', 'naïve-token', 'That is not a token.'],
]) {
    test(`${what} is not sent`, async () => {
        const visited = await visit(world);
        await visited.signIn(pasted);
        await visited.waitForText(words);
        assert.deepEqual(visited.requests, []);
        assert.equal(await visited.page.evaluate(() => document.activeElement.id), 'token');
        await endVisit(visited);
    });
}

test('A token that loses its scope shows the scope it needs and can keep reading', async () => {
    const visited = await signedIn({}, world.stack.tokens.admin);
    await visited.page.route('**/sessions/cleanup?*', (route) => route.fulfill({ status: 403, json: { error: 'Forbidden' } }));
    for (const name of ['Dry run', 'Clean up …']) {
        await visited.press(name);
        await visited.waitForText('This token may not clean up (403).');
        await visited.waitForText('needs the scope sessions:admin');
        await visited.press('Close');
    }
    const answered = visited.page.waitForResponse((it) => it.url().includes('/stats') && it.ok());
    await visited.press('Refresh');
    await answered;
    assert.deepEqual(await visited.figures().then((it) => it.at(-1)), 104);
    await endVisit(visited);
});

test('A token without a scope is rejected with the scopes it needs', async () => {
    const visited = await visit(world);
    await visited.page.route('**/sessions/*', (route) => route.fulfill({ status: 403, json: { error: 'Forbidden' } }));
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForText('This token may not read the sessions (403).');
    await visited.waitForText('It needs the scope sessions:read or sessions:admin.');
    assert.ok(await visited.page.getByLabel('Token', { exact: true }).isVisible());
    await endVisit(visited);
});

test('Numbers stay and are marked as old while offline, then refresh', async () => {
    const visited = await signedIn({}, world.stack.tokens.admin);
    const figures = await visited.figures();
    await visited.context.setOffline(true);
    await visited.waitForText('No connection to the API.');
    await visited.waitForText(/The next try is in 30 seconds\. The numbers below are old, of \d\d:\d\d:\d\d/);
    assert.match(await visited.text('refreshed'), /^Old numbers, of \d\d:\d\d:\d\d$/);
    assert.deepEqual(await visited.figures(), figures);
    await visited.press('Dry run');
    await visited.page.locator('#dialog').getByText('No connection to the API.').waitFor();
    await visited.press('Close');
    await visited.context.setOffline(false);
    await visited.page.waitForFunction(() => document.querySelector('#refreshed').textContent.startsWith('Refreshed'));
    assert.equal(await visited.text('alert'), '');
    assert.equal(await visited.text('status'), 'The numbers are up to date again.');
    assert.equal(await visited.page.locator('.stale').count(), 0);
    await endVisit(visited);
});

for (const [what, answer, words] of [
    ['A server error', { status: 500, json: { error: 'Internal server error' } }, 'The API failed (500): “Internal server error”.'],
    ['A bad gateway’s HTML', { status: 502, contentType: 'text/html', body: '<html>Bad gateway</html>' }, 'The API failed (502).'],
    ['Too many requests', { status: 429, json: { message: 'Too Many Requests' } }, 'Too many requests (429): “Too Many Requests”.'],
    ['A page instead of JSON', { contentType: 'text/html', body: '<html>Log in</html>' }, 'The answer was not one of the API’s.'],
    ['JSON of another service', { json: { success: true, data: { total_sessions: 'many' } } }, 'The answer was not one of the API’s.'],
    ['An unexpected error status', { status: 418, json: { error: 'Teapot' } }, 'The API rejected the request (418): “Teapot”.'],
]) {
    test(`${what} is explained, the numbers stay, and the next refresh recovers`, async () => {
        const visited = await signedIn(withClock);
        const figures = await visited.figures();
        await visited.page.route('**/sessions/stats', (route) => route.fulfill(answer));
        await visited.page.clock.fastForward(31_000);
        await visited.waitForText(words);
        await visited.waitForText(/The numbers below are old/);
        assert.deepEqual(await visited.figures(), figures);
        assert.equal(await visited.page.locator('#dashboard.stale').count(), 1);
        await visited.page.unroute('**/sessions/stats');
        await visited.page.clock.fastForward(31_000);
        await visited.page.waitForFunction(() => !document.querySelector('.stale'));
        assert.equal(await visited.text('alert'), '');
        await endVisit(visited);
    });
}

test('A request without a response times out and is sent again', async () => {
    const visited = await signedIn(withClock);
    await visited.page.route('**/sessions/stats', () => {});
    const asked = visited.page.waitForRequest(/stats/);
    await visited.press('Refresh');
    await asked;
    await visited.page.clock.fastForward(41_000);
    await visited.waitForText('The API did not answer in time.');
    await visited.page.unroute('**/sessions/stats');
    await visited.page.clock.fastForward(31_000);
    await visited.page.waitForFunction(() => !document.querySelector('.stale'));
    await endVisit(visited);
});

test('An unreachable API is retried automatically with the same token', async () => {
    const visited = await visit(world, withClock);
    await visited.page.route('**/sessions/*', (route) => route.abort());
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForText('No connection to the API.');
    assert.equal(await visited.text('refreshed'), 'Not refreshed yet');
    assert.equal(await visited.text('need'), 'Not known yet.');
    await visited.page.unroute('**/sessions/*');
    await visited.page.clock.fastForward(31_000);
    await visited.waitForNumbers();
    await endVisit(visited);
});
