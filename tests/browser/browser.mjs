// Chromium, the page in it, and how a person uses it: by what is written on the buttons.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { startGateway } from './gateway.mjs';
import { startStack } from './stack.mjs';

// A busy machine may take long; nothing here depends on how long. Less of it shows a failure sooner.
const TIMEOUT = Number(process.env.PATIENCE_MS ?? 120_000);

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

/** A browser, and a stack: with the sample, unless told `--empty`. */
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
 * The page, opened. `problems` collects what must never be: errors, messages of the console, violations of the
 * policy, requests to another host. `requests` are those to the API.
 */
export async function visit(world, { path = '/api/v1/monitoring', before = () => {}, ...options } = {}) {
    const context = await world.browser.newContext({ locale: 'en-GB', timezoneId: 'Europe/Berlin', ...options });
    context.setDefaultTimeout(TIMEOUT);
    const page = await context.newPage();
    const seen = { problems: [], messages: [], requests: [] };
    page.on('pageerror', (error) => seen.problems.push(String(error)));
    page.on('console', (message) => {
        seen.messages.push(message.text());
        // Chromium says this of each answer that is no success, whatever a page does.
        if (!/^Failed to load resource/.test(message.text())) seen.problems.push(message.text());
    });
    page.on('request', (request) => {
        const { origin, pathname } = new URL(request.url());
        if (origin !== world.gateway.origin && !request.url().startsWith('data:')) seen.problems.push(request.url());
        if (/\/sessions\//.test(pathname)) seen.requests.push(request);
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
        /** Pastes a token and waits for the numbers. */
        signIn: async (token) => {
            await page.getByLabel('Token', { exact: true }).fill(token);
            await button('Show the sessions').click();
        },
        numbers: () => page.waitForFunction(() => /\d/.test(document.querySelector('#total').textContent)),
        says: (words) => page.getByText(words).filter({ visible: true }).first().waitFor(),
        figures: async () => {
            const shown = await Promise.all(['live', 'expired', 'inactive', 'total'].map(text));
            return shown.map((figure) => Number(figure.replaceAll(',', '')));
        },
    };
}

/** Ends a visit, and fails if anything was seen that must not be. */
export async function leave({ context, page, problems }) {
    // A refresh may be under way, and an answer that a test changes on its way would fail for the page that is gone.
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await context.close();
    assert.deepEqual(problems, []);
}
