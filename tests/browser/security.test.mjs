// Where the page keeps the token, what the page may load, and the paths at which it can be served.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { endVisit, open, visit } from './browser.mjs';

let world;
before(async () => { world = await open(); });
after(() => world.close());

const PAGE = '/api/v1/monitoring';

test('The token is only in the memory of the tab and in the request header', async () => {
    const visited = await visit(world);
    const token = world.stack.tokens.admin;
    await visited.signIn(`Bearer ${token}`);
    await visited.waitForNumbers();
    await visited.press('Dry run');
    await visited.waitForText('Nothing has been changed.');
    await visited.press('Close');
    const found = await visited.page.evaluate(async () => {
        const properties = (object) => Object.getOwnPropertyNames(object).map((name) => {
            try { return String(object[name]); } catch { return ''; }
        });
        return {
            url: location.href,
            history: JSON.stringify(history.state),
            document: document.documentElement.outerHTML,
            fields: [...document.querySelectorAll('input:not([type=range], [type=checkbox])')].map((field) => field.value).join(),
            storage: JSON.stringify([{ ...localStorage }, { ...sessionStorage }]),
            cookies: document.cookie,
            databases: JSON.stringify(await indexedDB.databases()),
            caches: JSON.stringify(await caches.keys()),
            globals: properties(window).join(),
            resources: JSON.stringify(performance.getEntriesByType('resource')),
        };
    });
    const parts = token.split('.');
    for (const [location, text] of Object.entries({ ...found, console: visited.messages.join() })) {
        for (const part of parts) assert.ok(!text.includes(part), `the token is in ${location}`);
    }
    assert.deepEqual([found.fields.replaceAll(',', ''), found.storage, found.cookies, found.databases, found.caches],
        ['', '[{},{}]', '', '[]', '[]']);
    assert.deepEqual(await visited.context.cookies(), []);
    assert.ok(visited.requests.length > 2);
    for (const request of visited.requests) {
        const headers = await request.allHeaders();
        assert.equal(headers.authorization, `Bearer ${token}`);
        assert.ok(!Object.entries(headers).some(([name, value]) => name !== 'authorization' && value.includes(parts[2])));
        assert.ok(!request.url().includes(parts[2]) && !request.postData());
    }
    // A reload forgets it.
    await visited.page.reload();
    assert.ok(await visited.page.getByLabel('Token', { exact: true }).isVisible());
    assert.equal(await visited.page.getByLabel('Token', { exact: true }).inputValue(), '');
    await endVisit(visited);
});

test('Leaving the page and going back asks for the token again', async () => {
    const visited = await visit(world);
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForNumbers();
    // The event before a browser puts a page into its back/forward cache.
    await visited.page.evaluate(() => window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
    assert.ok(await visited.page.getByLabel('Token', { exact: true }).isVisible());
    assert.equal(await visited.text('total'), '–');
    await endVisit(visited);
});

test('The token is not sent to a redirect', async () => {
    const visited = await visit(world);
    await visited.page.route('**/sessions/stats', (route) =>
        route.fulfill({ status: 302, headers: { Location: '/elsewhere/sessions/stats' } }));
    await visited.signIn(world.stack.tokens.reader);
    await visited.waitForText('No connection to the API.');
    assert.ok(!visited.requests.some((it) => it.url().includes('elsewhere')));
    await endVisit(visited);
});

test('The token field hides its value and has no name for a browser to store', async () => {
    const visited = await visit(world);
    const field = visited.page.getByLabel('Token', { exact: true });
    const attributes = await field.evaluate((it) => Object.fromEntries([...it.attributes].map(({ name, value }) => [name, value])));
    assert.equal(attributes.type, 'password');
    assert.equal(attributes.autocomplete, 'off');
    assert.ok(!('name' in attributes));
    await endVisit(visited);
});

test('The page needs no token, is self-contained and small, and has a strict CSP', async () => {
    const answer = await fetch(world.gateway.origin + PAGE);
    const html = await answer.text();
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type'), /^text\/html; ?charset=utf-8$/i);
    assert.ok(Buffer.byteLength(html) <= 110_000, `${Buffer.byteLength(html)} bytes`);
    assert.doesNotMatch(html, /page\.(css|js)/);
    assert.doesNotMatch(html, /https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
    assert.doesNotMatch(html, /\son\w+=|\sstyle=/);
    const policy = Object.fromEntries(answer.headers.get('content-security-policy').split(/;\s*/).map((directive) => {
        const [name, ...values] = directive.trim().split(/\s+/);
        return [name, values.join(' ')];
    }));
    assert.match(policy['script-src'], /^'sha256-[\w+/]+='$/);
    assert.match(policy['style-src'], /^'sha256-[\w+/]+='$/);
    delete policy['script-src'];
    delete policy['style-src'];
    assert.deepEqual(policy, {
        'default-src': "'none'", 'connect-src': "'self'", 'img-src': 'data:', 'base-uri': "'none'", 'form-action': "'none'",
        'frame-ancestors': "'none'", 'require-trusted-types-for': "'script'", 'trusted-types': "'none'",
    });
});

test('Injected markup and scripts are blocked and cannot send anything elsewhere', async () => {
    const visited = await visit(world);
    const outcome = await visited.page.evaluate(async () => {
        const attempt = async (act) => { try { await act(); return 'allowed'; } catch (error) { return error.name; } };
        return {
            markup: await attempt(() => { document.body.innerHTML = '<p>new</p>'; }),
            script: await attempt(() => { document.createElement('script').text = 'window.ran = true'; }),
            // No program listens at this port; the policy blocks the request before it is sent.
            elsewhere: await attempt(() => fetch('http://127.0.0.1:9/')),
            ran: 'ran' in window,
        };
    });
    assert.deepEqual(outcome, { markup: 'TypeError', script: 'TypeError', elsewhere: 'TypeError', ran: false });
    assert.ok(visited.messages.some((it) => /connect-src 'self'/.test(it)), visited.messages.join('\n'));
    await visited.context.close();
});

for (const path of ['/api/v1/monitoring', '/api/v1/monitoring/', '/prod/api/v1/monitoring/', '/prod/api/v1/monitoring', '/prod/api/v1/monitoring/?a=b#c']) {
    test(`The page works at ${path}`, async () => {
        const visited = await visit(world, { path });
        await visited.signIn(world.stack.tokens.admin);
        await visited.waitForNumbers();
        await visited.press('Dry run');
        await visited.waitForText('Nothing has been changed.');
        const base = path.replace(/\/?(\?.*)?$/, '');
        for (const request of visited.requests) {
            assert.ok(new URL(request.url()).pathname.startsWith(`${base}/sessions/`), request.url());
        }
        await endVisit(visited);
    });
}
