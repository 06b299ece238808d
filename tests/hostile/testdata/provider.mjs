import Provider from 'oidc-provider';
import { createServer } from 'node:http';

const [redirect] = process.argv.slice(2);
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      { client_id: 'page', redirect_uris: [redirect], response_types: ['code'], grant_types: ['authorization_code'], token_endpoint_auth_method: 'none' },
      { client_id: 'cli', application_type: 'native', redirect_uris: [], response_types: [], token_endpoint_auth_method: 'none',
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'] },
    ],
    features: { deviceFlow: { enabled: true } },
    pkce: { required: () => true },
    scopes: ['openid', 'profile', 'offline_access'],
    claims: { openid: ['sub'], profile: ['groups'] },
    conformIdTokenClaims: false,
    issueRefreshToken: async () => true,
    ttl: { IdToken: Number(process.env.ID_TOKEN_TTL || 3600) },
    findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id, groups: ['makers'] }) }),
    cookies: { keys: ['only for tests'] },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0)); // with the test
