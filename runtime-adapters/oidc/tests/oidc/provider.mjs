// A real OpenID provider on loopback. Prints its issuer and an access token by client credentials, in one line of JSON, and again, after its
// keys were rotated, for every line that it reads.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { generateKeyPairSync } from 'node:crypto';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// What it prints is ours alone.
for (const name of ['log', 'info', 'warn', 'error']) console[name] = () => {};

const modules = createRequire(`${process.env.FACTORY_OIDC_PROVIDER}/package.json`);
const { default: Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')));

const key = (kid) => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  kid, use: 'sig', alg: 'ES256',
});

let answer;
const server = createServer((request, response) => answer(request, response));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;

async function begin(kid) {
  const provider = new Provider(issuer, {
    jwks: { keys: [key(kid)] },
    clients: [{
      client_id: 'pipeline', client_secret: 'only-of-this-test', grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [], id_token_signed_response_alg: 'ES256',
    }],
    extraTokenClaims: () => ({ organization: { id: 'acme' }, groups: ['ops'] }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:factory-runtime',
        getResourceServerInfo: () => ({
          scope: '', audience: 'factory-runtime', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  answer = provider.callback();
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('pipeline:only-of-this-test')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  const { access_token: token } = await response.json();
  process.stdout.write(`${JSON.stringify({ issuer, token })}\n`);
}

let number = 1;
await begin(`key-${number}`);
for await (const _ of createInterface({ input: process.stdin })) await begin(`key-${(number += 1)}`);
process.exit(0);
