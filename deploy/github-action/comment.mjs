// The one comment of a pull request, over GitHub's REST API (https://docs.github.com/en/rest/issues/comments).

const pageItems = 100;
const mostPages = 30;
const limit = 15_000; // milliseconds for one call

// put edits the comment that begins with the marker, or makes it unless editOnly is set. Only a comment of an app is edited: anybody can write a
// marker into a comment of their own.
export async function put({ api, token, repository, number, marker, text, editOnly }) {
  const call = async (method, path, body) => {
    const answer = await fetch(`${api}/repos/${repository}/issues/${path}`, {
      method,
      headers: {
        Accept: 'application/vnd.github+json',
        Authorization: `Bearer ${token}`,
        'User-Agent': 'routinely-preview',
        'X-GitHub-Api-Version': '2022-11-28',
        ...(body && { 'Content-Type': 'application/json' }),
      },
      body: body && JSON.stringify(body),
      redirect: 'error', // the token would go there
      signal: AbortSignal.timeout(limit),
    });
    if (!answer.ok) {
      throw new Error(`${method} of a comment: GitHub answers ${answer.status}` + (answer.status === 403 ? '; the job needs the permission pull-requests: write' : ''));
    }
    return answer.json();
  };
  const find = async () => {
    for (let page = 1; page <= mostPages; page++) {
      const comments = await call('GET', `${number}/comments?per_page=${pageItems}&page=${page}`);
      const own = comments.find((c) => c.user?.type === 'Bot' && c.body?.startsWith(marker));
      if (own || comments.length < pageItems) {
        return own;
      }
    }
    return undefined;
  };
  const own = await find();
  const body = { body: `${marker}\n${text}` };
  if (own) {
    await call('PATCH', `comments/${own.id}`, body);
  } else if (!editOnly) {
    await call('POST', `${number}/comments`, body);
  }
}
