/** TLS of the FTPS door against clients that bend it (reliability.md §3.5), and what a scanner finds in its default settings. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { eventually } from '../fixtures/eventually.ts';
import { FtpsCacheDoor, send } from '../fixtures/ftps-cache-door.ts';
import { run } from '../fixtures/openssh.ts';
import { RawFtp } from '../fixtures/raw-ftp.ts';
import { TestCertificates } from '../fixtures/test-certificates.ts';

let stage: FtpsCacheDoor;
before(async () => {
  stage = await FtpsCacheDoor.open();
});
after(async () => {
  await stage?.[Symbol.asyncDispose]();
});

describe('F87: a scanner of TLS', () => {
  for (const [how, starttls] of [
    ['explicit', ['--starttls-ftp']],
    ['implicit', []],
  ] as const) {
    it(`finds nothing to object to, ${how}`, async () => {
      const port = how === 'explicit' ? stage.door.port : stage.door.implicitPort;
      const { out, code } = await run('sslscan', [...starttls, '--no-colour', '--xml=-', `127.0.0.1:${port}`], {}, '');
      assert.equal(code, 0, out);
      const all = (pattern: RegExp): string[][] => [...out.matchAll(pattern)].map((match) => match.slice(1));
      const protocols = all(/<protocol type="(\w+)" version="([\d.]+)" enabled="1"/g).map((found) => found.join(' '));
      assert.deepEqual(protocols, ['tls 1.2', 'tls 1.3']);
      const ciphers = all(/<cipher [^>]*sslversion="(\S+)" bits="(\d+)" cipher="([^"]+)"/g);
      assert.ok(ciphers.length >= 5, out);
      for (const [version, bits, name = ''] of ciphers) {
        assert.ok(Number(bits) >= 128, name);
        assert.match(name, version === 'TLSv1.2' ? /^ECDHE-.*(GCM|POLY1305)/ : /^TLS_/);
      }
      assert.match(out, /<renegotiation supported="0"/);
      assert.deepEqual(all(/<heartbleed [^>]*vulnerable="(\d)"/g), [['0'], ['0']]);
      for (const [group = '', bits] of all(/<group [^>]*name="([^"]+)" bits="(\d+)"/g)) assert.ok(Number(bits) >= 112, group);
      assert.match(out, /<expired>false/);
    });
  }
});

describe('F87: a client', () => {
  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    it(`with nothing better than ${version} gets no connection`, async () => {
      const ciphers = 'ALL:@SECLEVEL=0';
      const old = RawFtp.loggedIn(stage.door.port, 'acme', 'x', { minVersion: version, maxVersion: version, ciphers });
      await assert.rejects(old);
    });
  }

  it('with weak ciphers only gets no connection', async () => {
    const weak = { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0' } as const;
    await assert.rejects(RawFtp.loggedIn(stage.door.port, 'acme', 'x', weak));
  });

  it('of another protocol gets no connection', async () => {
    await assert.rejects(RawFtp.loggedIn(stage.door.port, 'acme', 'x', { ALPNProtocols: ['h2', 'http/1.1'] }));
  });

  it('that renegotiates is not followed', async () => {
    const ftp = await stage.logIn({ maxVersion: 'TLSv1.2' });
    const asked = new Promise<Error | null>((done) => {
      (ftp.socket as TLSSocket).renegotiate({}, done);
      ftp.socket.once('close', () => done(new Error('closed')));
    });
    assert.ok((await asked) instanceof Error);
    ftp.close();
  });

  it('that brings the ticket of another connection begins anew', async () => {
    const first = await stage.logIn();
    await first.ask('NOOP');
    assert.ok(first.session);
    const second = await RawFtp.connect(stage.door.port, { tls: { session: first.session } });
    await second.reply();
    await second.authTls();
    assert.equal((second.socket as TLSSocket).isSessionReused(), false);
    first.close();
    second.close();
  });
});

describe('F86: where a client certificate is required', () => {
  it('the control connection needs a trusted one, and its data connections the same', async () => {
    await using certificates = await TestCertificates.make(['acme', 'globex', 'stranger']);
    const { acme, globex, stranger } = certificates.clients;
    assert.ok(acme && globex && stranger);
    const clientAuthorities = acme.cert + globex.cert;
    await using strict = await FtpsCacheDoor.open({
      options: {
        tls: { minimum: 'TLSv1.2', clientCertificates: 'required', clientAuthorities },
        connectMs: 2000,
      },
    });
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const limits = { minVersion: version, maxVersion: version } as const;
      for (const wrong of [{}, stranger]) {
        const refused = await strict.logIn({ ...limits, ...wrong }).catch(() => undefined);
        if (refused) assert.equal((await refused.reply()).code, 0, 'it is closed without an answer');
      }
      const ftp = await strict.logIn({ ...limits, ...acme });
      const none = { cert: '', key: '' };
      for (const other of [none, stranger, globex]) {
        const port = await ftp.passive();
        const data = await ftp.data(port, { resume: false, tls: other }).catch(() => undefined);
        assert.equal((await ftp.ask('STOR /Inbox/other')).code, 150);
        data?.end('of somebody else');
        assert.equal((await ftp.reply()).code, 425);
      }
      for (const resume of [true, false]) {
        const data = await ftp.data(await ftp.passive(), { resume });
        assert.equal((await ftp.ask(`STOR /Inbox/${version}-${resume}`)).code, 150);
        data.end('mine');
        assert.equal((await ftp.reply()).code, 226, `${version}, resumed: ${resume}`);
      }
      ftp.close();
    }
    assert.equal((await strict.remains()).items.length, 4);
    assert.ok((await strict.remains()).items.every((item) => / 4$/.test(item)));
  });
});

describe('F90: an end of TLS on the control connection during an upload', () => {
  it('gives the upload up, whatever comes on the data connection', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const ftp = await stage.logIn({ minVersion: version, maxVersion: version });
      const path = `/Inbox/f90-${version}`;
      const data = await ftp.data(await ftp.passive());
      assert.equal((await ftp.ask(`STOR ${path}`)).code, 150);
      const received = stage.receivedBytes;
      data.write(Buffer.alloc(100_000));
      await eventually('some bytes have come', () => stage.receivedBytes > received);
      ftp.socket.end();
      assert.ok((await stage.keptPartial(path)) > 0);
      data.end('more');
      assert.deepEqual((await stage.remains()).items, []);
    }
  });

  it('cannot be asked for with CCC', async () => {
    const ftp = await stage.logIn();
    assert.equal((await ftp.ask('CCC')).code, 534);
    assert.equal((await send(ftp, 'STOR /Inbox/after-ccc', 'x')).code, 226);
    ftp.close();
  });
});
