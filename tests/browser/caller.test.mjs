// Who uses the page, how long the token lasts, and which stack this is.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';
import { overrideStatistics } from './stack.mjs';

let world;
before(async () => { world = await open('--empty'); });
after(() => world.close());

const HOUR = 3_600_000;
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

for (const [holder, role] of [['admin', 'admin'], ['reader', 'read only']]) {
    test(`The header names the ${holder}, the rest of the token’s life, and the stack`, async () => {
        const token = world.stack.tokens[holder];
        const { sub, exp } = claims(token);
        const visited = await visit(world, { before: (page) => page.clock.install({ time: exp * 1_000 - 3 * HOUR - 60_000 }) });
        assert.equal(await visited.page.title(), 'Session Cleanup');
        await visited.signIn(token);
        await visited.waitForNumbers();
        assert.equal(await visited.text('caller'), sub);
        assert.equal(await visited.text('token-life'), `${role}, token expires in 3 hours`);
        assert.equal(await visited.text('stack'), 'local');
        assert.equal(await visited.page.title(), 'local – Session Cleanup');
        const isWarning = () => visited.page.locator('#token-life.ending').count();
        assert.equal(await isWarning(), 0);
        // The words change without a request.
        await visited.page.route('**/sessions/*', () => {});
        await visited.page.clock.fastForward(3 * HOUR - 180_000);
        await visited.waitForText(`${role}, token expires in 3 minutes`);
        assert.equal(await isWarning(), 1);
        await visited.page.clock.fastForward(300_000);
        await visited.waitForText(`${role}, token has expired`);
        await visited.press('Forget token');
        assert.deepEqual([await visited.text('caller'), await visited.text('token-life'), await visited.text('stack')], ['', '', '']);
        assert.equal(await visited.page.title(), 'Session Cleanup');
        await endVisit(visited);
    });
}

test('Names of user and stack are text, and an unnamed stack is not shown', async () => {
    const visited = await visit(world);
    const name = '<b>prod</b>\u202e';
    await overrideStatistics(visited.page, { stack: name, caller: { user_id: name, session_id: null, is_admin: true } });
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    assert.deepEqual([await visited.text('caller'), await visited.text('stack')], Array(2).fill('<b>prod</b>\ufffd'));
    assert.equal(await visited.page.locator('b').count(), 0);
    await visited.page.unroute('**/sessions/stats');
    await overrideStatistics(visited.page, { stack: null });
    await visited.press('Refresh');
    await visited.page.waitForFunction(() => document.querySelector('#stack').hidden);
    assert.equal(await visited.page.title(), 'Session Cleanup');
    await endVisit(visited);
});

for (const [what, payload] of [['no end', { sub: 'x' }], ['an end that is no number', { exp: 'soon' }], ['no JSON', null]]) {
    test(`For a token with ${what}, the page shows no lifetime`, async () => {
        const visited = await visit(world);
        // The API does not check this token.
        await visited.page.route('**/sessions/*', async (route) => route.continue({
            headers: { ...route.request().headers(), authorization: `Bearer ${world.stack.tokens.reader}` } }));
        const part = Buffer.from(payload ? JSON.stringify(payload) : 'x').toString('base64url');
        await visited.signIn(`eyJhbGciOiJIUzI1NiJ9.${part}.c2ln`);
        await visited.waitForNumbers();
        assert.equal(await visited.text('token-life'), 'read only');
        await endVisit(visited);
    });
}
