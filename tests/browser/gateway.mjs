// A small reverse proxy in front of the stack. It removes the stage from the path, as API Gateway does. With
// `PAGE=FOLDER` it builds the page from the files in that folder, as the function does, so that a change of the page
// can be tested without compiling.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, request as call } from 'node:http';

// In the order in which the function joins them.
const SCRIPTS = ['format', 'api', 'texts', 'sessions', 'chart', 'document', 'reports', 'users', 'dialog', 'events'];

const PATHS = ['/api/v1/monitoring', '/api/v1/monitoring/'];

/** Starts the proxy on a free port, in front of the stack at `origin`. */
export async function startGateway(origin) {
    const server = createServer((request, response) => {
        const path = request.url.replace(/^\/prod(?=\/)/, '');
        if (process.env.PAGE && PATHS.includes(path.split('?')[0]) && request.method === 'GET') {
            const { html, policy } = assemble(process.env.PAGE);
            response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy });
            response.end(html);
            return;
        }
        const onward = call(`${origin}${path}`, { method: request.method, headers: request.headers }, (answer) => {
            response.writeHead(answer.statusCode, answer.headers);
            answer.pipe(response);
        });
        onward.on('error', () => response.destroy());
        request.pipe(onward);
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return {
        origin: `http://127.0.0.1:${server.address().port}`,
        stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
    };
}

function assemble(folder) {
    const read = (name) => readFileSync(`${folder}/${name}`, 'utf8');
    const [html, css] = ['page.html', 'page.css'].map(read);
    const js = SCRIPTS.map((name) => read(`script/${name}.js`)).join('');
    const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
    return {
        html: html.replace('<link rel="stylesheet" href="page.css">', () => `<style>${css}</style>`)
            .replace('<script type="module" src="script/"></script>', () => `<script type="module">${js}</script>`),
        policy: `default-src 'none'; script-src ${hash(js)}; style-src ${hash(css)}; connect-src 'self'; img-src data:; `
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            + "require-trusted-types-for 'script'; trusted-types 'none'",
    };
}
