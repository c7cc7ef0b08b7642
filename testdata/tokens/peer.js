// What other token libraries make of tokens, and make themselves: a list of jobs on stdin, a list of answers on stdout.
// A job is { do, ... }, an answer { token } or { claims }, or { refused: why }.
const cbor = require('cbor-x');
const cose = require('cose-js');
const { CAT } = require('@eyevinn/cat');

const bytes = (s) => Buffer.from(s, 'base64url');

const jobs = {
  async 'jose sign'(jose, { header, claims, key }) {
    return { token: await new jose.SignJWT(claims).setProtectedHeader(header).sign(await jose.importJWK(key, header.alg)) };
  },
  async 'jose verify'(jose, { token, key, alg, audience, issuer }) {
    const { payload } = await jose.jwtVerify(token, await jose.importJWK(key, alg), { algorithms: [alg], audience, issuer });
    return { claims: payload };
  },
  async 'cat make'(_, { claims, kid, secret }) {
    const cat = new CAT({ keys: { [kid]: bytes(secret) }, expectCwtTag: true });
    return { token: await cat.generateFromJson(claims, { type: 'mac', alg: 'HS256', kid }) };
  },
  async 'cat verify'(_, { token, kid, secret, audience, issuer, url, ip }) {
    const cat = new CAT({ keys: { [kid]: bytes(secret) }, expectCwtTag: true });
    const r = await cat.validate(token, 'mac', { audience: [audience], issuer, url: url && new URL(url), ip });
    if (r.error) throw r.error;
    return { claims: r.cat.claims };
  },
  async 'cose sign'(_, { claims, kid, key }) {
    const payload = cbor.encode(new Map(claims));
    const signed = await cose.sign.create({ p: { alg: 'ES256' }, u: { kid } }, payload, { key: { d: bytes(key.d) } });
    return { token: signed.toString('base64url') };
  },
  async 'cose verify'(_, { token, key }) {
    let b = bytes(token);
    if (b[0] === 0xd8 && b[1] === 61) b = b.subarray(2);
    const payload = await cose.sign.verify(b, { key: { x: bytes(key.x), y: bytes(key.y) } });
    const claims = new cbor.Decoder({ mapsAsObjects: false }).decode(payload);
    return { claims: Object.fromEntries(claims) };
  },
};

(async () => {
  const jose = await import('jose');
  const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const answers = [];
  for (const job of asked) {
    try {
      answers.push(await jobs[job.do](jose, job));
    } catch (e) {
      answers.push({ refused: String(e.message || e) });
    }
  }
  process.stdout.write(JSON.stringify(answers));
})();
