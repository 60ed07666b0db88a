// The command line tool routinely: where it comes from, and how it is run.
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const limit = 120_000; // milliseconds for one download
const killed = 1; // the exit code of a tool that a signal has ended

// download gets the tool of a release and returns its path. The archive must have the SHA-256 that is given, else the one in the release's
// checksums.txt: that protects against a broken download, and not against somebody who can change the release.
export async function download({ releases, version, sha256, into }) {
  if (!/^v[01]\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version)) {
    throw new Error('version: want the version of a release, such as v0.2.0');
  }
  const { protocol, hostname } = new URL(releases);
  if (protocol !== 'https:' && hostname !== '127.0.0.1') {
    throw new Error('releases: want an https address');
  }
  const archive = `routinely_${version}_${system()}.tar.gz`;
  const get = async (name) => {
    const answer = await fetch(`${releases}/${version}/${name}`, { signal: AbortSignal.timeout(limit) });
    if (!answer.ok) {
      throw new Error(`${name} of ${version}: the answer is ${answer.status}`);
    }
    return Buffer.from(await answer.arrayBuffer());
  };
  const want = sha256 === '' ? listed(String(await get('checksums.txt')), archive) : sha256.toLowerCase();
  const content = await get(archive);
  if (createHash('sha256').update(content).digest('hex') !== want) {
    throw new Error(`${archive} does not have the SHA-256 ${want}`);
  }
  const dir = mkdtempSync(join(into || tmpdir(), 'routinely-'));
  writeFileSync(join(dir, archive), content);
  const tar = spawnSync('tar', ['-xzf', archive, 'routinely'], { cwd: dir });
  if (tar.error || tar.status !== 0) {
    throw new Error(`tar cannot read ${archive}: ${tar.error?.message ?? String(tar.stderr).trim()}`);
  }
  return join(dir, 'routinely');
}

// listed finds a file's hash in the lines that sha256sum writes.
function listed(checksums, name) {
  const line = checksums.split('\n').find((l) => l.endsWith(`  ${name}`));
  const hash = line?.slice(0, 64) ?? '';
  if (!/^[0-9a-f]{64}$/.test(hash)) {
    throw new Error(`checksums.txt does not name ${name}`);
  }
  return hash;
}

// system is the platform as the names of archives have it.
function system() {
  const os = { linux: 'linux', darwin: 'darwin' }[process.platform];
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch];
  if (!os || !arch) {
    throw new Error(`there is no tool for ${process.platform} ${process.arch} here: give binary`);
  }
  return `${os}_${arch}`;
}

// run runs the tool, and returns its exit code and the objects that it wrote. What it says goes to the log, where GitHub must not obey it, without
// the token.
export async function run(binary, args, { url, token, environ }) {
  const kept = Object.entries(environ).filter(([name]) => !name.startsWith('INPUT_'));
  const child = spawn(binary, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...Object.fromEntries(kept), ROUTINELY_URL: url, ROUTINELY_TOKEN: token },
  });
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
  // On standard output alone: GitHub reads the two outputs independently of each other.
  const guard = randomUUID();
  console.log(`::stop-commands::${guard}`);
  createInterface({ input: child.stderr }).on('line', (line) => console.log(line.replaceAll(token, '***')));
  try {
    const code = (await ended) ?? killed;
    return { code, objects: text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line)) };
  } finally {
    console.log(`::${guard}::`);
  }
}
