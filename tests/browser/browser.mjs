// Opens the page in Chromium and uses it as a person does: by the labels of its buttons and fields.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { startGateway } from './gateway.mjs';
import { startStack } from './stack.mjs';

// Long enough for a busy machine; no test depends on the value. A shorter timeout makes failing tests fail faster.
const TIMEOUT = Number(process.env.TIMEOUT_MS ?? 120_000);

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

/** Starts a browser and a stack. The stack contains the sample unless `--empty` is given. */
export async function open(...flags) {
    const [stack, browser] = await Promise.all([
        startStack(...flags),
        chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS }),
    ]);
    const gateway = await startGateway(stack.origin);
    return { stack, browser, gateway,
        close: () => Promise.all([browser.close(), gateway.stop(), stack.stop()]) };
}

/**
 * Opens the page. `problems` collects what must not happen: errors, console messages, violations of the content
 * security policy, requests to another host. `requests` contains the requests to the API.
 */
export async function visit(world, { path = '/api/v1/monitoring', before = () => {}, ...options } = {}) {
    const context = await world.browser.newContext({ locale: 'en-GB', timezoneId: 'Europe/Berlin', ...options });
    context.setDefaultTimeout(TIMEOUT);
    const page = await context.newPage();
    const seen = { problems: [], messages: [], requests: [] };
    page.on('pageerror', (error) => seen.problems.push(String(error)));
    page.on('console', (message) => {
        seen.messages.push(message.text());
        // Chromium logs this for each response that is not a success; a page cannot prevent it.
        if (!/^Failed to load resource/.test(message.text())) seen.problems.push(message.text());
    });
    page.on('request', (request) => {
        const { origin, pathname } = new URL(request.url());
        if (origin !== world.gateway.origin && !request.url().startsWith('data:')) seen.problems.push(request.url());
        if (/\/monitoring\/(sessions|users)\//.test(pathname)) seen.requests.push(request);
    });
    await before(page, context);
    await page.goto(world.gateway.origin + path);
    return { context, page, ...seen, ...user(page) };
}

function user(page) {
    const button = (name) => page.getByRole('button', { name, exact: true });
    const text = (id) => page.locator(`#${id}`).textContent();
    return {
        button,
        text,
        press: (name) => button(name).click(),
        /** Pastes a token and submits it. */
        signIn: async (token) => {
            await page.getByLabel('Token', { exact: true }).fill(token);
            await button('Show the sessions').click();
        },
        waitForNumbers: () => page.waitForFunction(() => /\d/.test(document.querySelector('#total').textContent)),
        waitForText: (words) => page.getByText(words).filter({ visible: true }).first().waitFor(),
        figures: async () => {
            const shown = await Promise.all(['live', 'expired', 'inactive', 'total'].map(text));
            return shown.map((figure) => Number(figure.replaceAll(',', '')));
        },
    };
}

/** Closes the page. Fails if there were problems. */
export async function endVisit({ context, page, problems }) {
    // A refresh may be under way, and an answer that a test changes on its way would fail for the page that is gone.
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await context.close();
    assert.deepEqual(problems, []);
}
