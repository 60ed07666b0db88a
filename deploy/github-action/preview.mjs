// Gives the branch of a workflow's run a preview, or deletes it if the run is about a closed pull request. action.yml runs it, and hands it
// everything by the environment.
import { appendFileSync, readFileSync } from 'node:fs';
import { put } from './comment.mjs';
import { checkName, nameOf } from './name.mjs';
import { download, run } from './tool.mjs';

const unclassified = 1; // an exit code of routinely

// annotate writes a line that GitHub shows with the run.
function annotate(kind, text) {
  console.log(`::${kind}::${text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')}`);
}

// readRun reads what the environment says of this run.
function readRun(environ) {
  const input = (name) => (environ[`INPUT_${name}`] ?? '').trim();
  const event = JSON.parse(readFileSync(environ.GITHUB_EVENT_PATH, 'utf8'));
  if (environ.GITHUB_EVENT_NAME === 'pull_request_target') {
    throw new Error('pull_request_target is not supported: with it, code of strangers would run beside your secrets. Use pull_request.');
  }
  const pull = event.pull_request;
  const name = input('NAME') === '' ? nameOf(input('PREFIX'), environ.GITHUB_REPOSITORY_ID, input('BRANCH')) : checkName(input('NAME'));
  return { environ, input, pull, closed: pull !== undefined && event.action === 'closed', name, host: hostOf(input('HOST'), name) };
}

// hostOf puts the name into the pattern of the host name.
function hostOf(pattern, name) {
  if (pattern.split('{name}').length !== 2 || !/^[A-Za-z0-9.-]+$/.test(pattern.replace('{name}', ''))) {
    throw new Error('host: want a host name with {name} in it once, such as {name}.preview.example.com');
  }
  return pattern.replace('{name}', name).toLowerCase();
}

// fromFork reports whether a pull request comes from another repository, to which GitHub gives no secrets.
function fromFork({ pull, environ }) {
  return pull !== undefined && pull.head.repo?.full_name !== environ.GITHUB_REPOSITORY;
}

// tool returns what runs routinely with arguments.
async function tool({ environ, input }) {
  const repository = environ.ACTION_REPOSITORY ?? '';
  const releases = input('RELEASES') || (repository && `${environ.GITHUB_SERVER_URL}/${repository}/releases/download`);
  if (input('BINARY') === '' && releases === '') {
    throw new Error('releases: it is not known where this action comes from, so say where the releases are');
  }
  const binary = input('BINARY') || (await download({ releases, version: input('VERSION'), sha256: input('SHA256'), into: environ.RUNNER_TEMP }));
  return (args) => run(binary, args, { url: input('URL'), token: input('TOKEN'), environ });
}

// output hands values to the steps that follow.
function output(environ, values) {
  for (const [name, value] of Object.entries(values)) {
    if (/[\r\n]/.test(value)) {
      throw new Error(`the output ${name} has a line break`);
    }
    appendFileSync(environ.GITHUB_OUTPUT, `${name}=${value}\n`);
  }
}

// tell writes the comment. The preview is there without it, so that a failure is a warning.
async function tell(r, text, editOnly) {
  const { environ, input, pull, name } = r;
  if (pull === undefined || input('COMMENT') !== 'true') {
    return;
  }
  const log = `${environ.GITHUB_SERVER_URL}/${environ.GITHUB_REPOSITORY}/actions/runs/${environ.GITHUB_RUN_ID}`;
  try {
    await put({
      api: environ.GITHUB_API_URL, token: input('GITHUB_TOKEN'), repository: environ.GITHUB_REPOSITORY, number: pull.number, editOnly,
      marker: `<!-- routinely preview ${name} -->`, text: `${text}\n\n[Log of the run](${log})\n`,
    });
  } catch (err) {
    annotate('warning', `The comment was not written: ${err.message}`);
  }
}

// deploy makes or renews the preview, and returns the exit code.
async function deploy(r, routinely) {
  const { environ, input, pull, name, host } = r;
  const args = ['submit', `--name=${name}`, `--record=${host}`, '--wait', '--output=json'];
  const flags = { code: input('CODE'), 'expires-in': input('EXPIRES_IN'), timeout: input('WAIT_TIMEOUT'), verify: input('VERIFY') };
  if (flags.verify !== '') {
    flags['verify-timeout'] = input('VERIFY_TIMEOUT');
  }
  if (pull !== undefined) {
    flags.label = `pr=${pull.number}`;
  }
  for (const [flag, value] of Object.entries(flags)) {
    if (value !== '') {
      args.push(`--${flag}=${value}`);
    }
  }
  const { code, objects } = await routinely(args);
  const job = objects.at(-1) ?? {};
  const url = `https://${host}/`;
  output(environ, { url, name, 'job-id': job.jobId ?? '' });
  const state = job.state !== 'succeeded' ? 'failed' : code === 0 ? (flags.verify === '' ? 'deployed' : 'deployed, seen serving') : 'deployed, not yet seen serving';
  console.log(`${name}: ${state}: ${url}`);
  const id = job.jobId ? `, job \`${job.jobId}\`` : '';
  const commit = pull !== undefined ? ` Commit \`${pull.head.sha.slice(0, 12)}\`.` : '';
  await tell(r, `**Preview** ${url}\n\nRoutine \`${name}\`: ${state}${id}.${commit}`, false);
  if (code !== 0) {
    annotate('error', `The preview ${name} is ${state}: routinely ended with ${code}.`);
  }
  return code;
}

// remove deletes the preview, and returns the exit code. To delete one that is not there is success.
async function remove(r, routinely) {
  const { environ, input, name, host } = r;
  output(environ, { url: `https://${host}/`, name });
  const { code, objects } = await routinely(['routines', 'delete', name, '--yes', '--wait', `--timeout=${input('WAIT_TIMEOUT')}`, '--output=json']);
  output(environ, { 'job-id': objects.at(-1)?.id ?? '' });
  const gone = code === 0;
  console.log(`${name}: ${gone ? 'deleted' : 'not deleted'}`);
  await tell(r, `**Preview** of routine \`${name}\`: ${gone ? 'deleted' : 'could not be deleted, it ends when its time is over'}.`, true);
  if (!gone) {
    annotate('error', `The preview ${name} was not deleted: routinely ended with ${code}.`);
  }
  return code;
}

// main returns the exit code.
async function main(environ) {
  const r = readRun(environ);
  if (r.input('TOKEN') === '') {
    if (fromFork(r)) {
      annotate('notice', 'No preview: the pull request comes from a fork, to which GitHub gives no secrets.');
      return 0;
    }
    throw new Error("token: it is empty. Is the secret set? For Dependabot it must be one of Dependabot's secrets.");
  }
  const routinely = await tool(r);
  return r.closed ? remove(r, routinely) : deploy(r, routinely);
}

try {
  process.exitCode = await main(process.env);
} catch (err) {
  annotate('error', err.message);
  process.exitCode = unclassified;
}
