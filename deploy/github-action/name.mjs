// The name of a branch's routine. A routine's name has 2 to 41 lower-case letters, digits and hyphens, a letter first and no hyphen last.
import { createHash } from 'node:crypto';

const longest = 41;
const digits = 10;
const longestPrefix = 20;

// nameOf makes the name of prefix, what can be read of the branch, and the first 40 bits of a hash. The hash is always there: branches that look the
// same without their punctuation, or differ behind what was cut off, have different names. The repository's id is part of it, because one account
// may serve several repositories, and because the id stays when a repository is renamed.
export function nameOf(prefix, repositoryId, branch) {
  if (!/^[a-z][a-z0-9-]*$/.test(prefix) || prefix.length > longestPrefix) {
    throw new Error(`prefix: want at most ${longestPrefix} lower-case letters, digits and hyphens, a letter first`);
  }
  if (branch === '') {
    throw new Error('neither name nor branch is given');
  }
  if (!repositoryId) { // the same branch of two repositories would have one name
    throw new Error('GITHUB_REPOSITORY_ID is not set: give name');
  }
  const hash = createHash('sha256').update(`${repositoryId}\0${branch}`).digest('hex').slice(0, digits);
  const room = longest - prefix.length - digits - 1;
  const readable = branch.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-/, '').slice(0, room).replace(/-$/, '');
  return prefix + (readable === '' ? '' : `${readable}-`) + hash;
}

// checkName refuses what is no name of a routine.
export function checkName(name) {
  if (!/^[a-z][a-z0-9-]*[a-z0-9]$/.test(name) || name.length > longest) {
    throw new Error(`name: want 2 to ${longest} lower-case letters, digits and hyphens, a letter first, no hyphen last`);
  }
  return name;
}
