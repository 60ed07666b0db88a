// The backend of a small product that gives each customer an edge routine: docs/how-to/saas-backend.md explains it. It needs Node.js 18 or
// later and no package.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const env = (name, fallback = "") => process.env[name] || fallback;
const routinely = env("ROUTINELY_URL", "http://127.0.0.1:18082");
const listen = env("LISTEN", "127.0.0.1:3000");
const publicURL = env("PUBLIC_URL", `http://${listen}`);
const secrets = env("CALLBACK_SECRETS").split(",").map((text) => Buffer.from(text.replace(/^whsec_/, ""), "base64"));
if (secrets.some((secret) => secret.length < 24)) throw new Error("CALLBACK_SECRETS: want secrets as routinely callback-secret shows them");

// Customers are in memory; a real product has a database.
const customers = new Map();

// Sends a request, and sends it again while the service is busy or does not answer. The same key is the same job.
async function call(method, path, { key, body } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (env("ROUTINELY_TOKEN")) headers.Authorization = `Bearer ${env("ROUTINELY_TOKEN")}`;
  if (key) headers["Idempotency-Key"] = key;
  for (let attempt = 1, pause = 1; ; attempt++, pause *= 2) {
    let failure;
    try {
      const res = await fetch(routinely + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(60_000) });
      if (res.ok) return await res.json(); // 202: recorded, 200: a job that is known
      const problem = await res.json().catch(() => ({})); // a proxy's answer has no problem in it: the status says enough
      const final = res.status < 500 && res.status !== 429;
      failure = Object.assign(new Error(problem.detail ?? String(res.status)), { status: res.status, final });
      pause = Number(res.headers.get("Retry-After")) || pause;
    } catch (error) {
      failure = error;
    }
    if (failure.final || attempt === 5) throw failure;
    await new Promise((done) => setTimeout(done, pause * 1000));
  }
}

// Asks for a customer's routine. What is refused for good is not asked for again.
async function ask({ id, host }) {
  try {
    learn(id, await call("POST", "/v1/routines", {
      key: `customer-${id}`,
      body: { name: `customer-${id}`, recordName: host, labels: { customer: id }, callbackUrl: `${publicURL}/hook` },
    }));
  } catch (error) {
    const c = customers.get(id);
    if (error.final && !c.job) c.state = "refused";
    throw error;
  }
}

// Keeps what is newest: a callback can come twice, late, and before the answer to the request.
function learn(id, job) {
  const c = customers.get(id);
  if (c && Date.parse(job.updatedAt) >= (c.updatedAt ?? 0)) Object.assign(c, { job: job.id, state: job.state, updatedAt: Date.parse(job.updatedAt) });
}

// Standard Webhooks: an HMAC over id, time and the body as it came; not older than five minutes.
function verified(headers, body) {
  const id = headers["webhook-id"], time = headers["webhook-timestamp"];
  if (!id || !time || !(Math.abs(Date.now() / 1000 - Number(time)) < 300)) return false;
  const given = (headers["webhook-signature"] ?? "").split(" ").filter((s) => s.startsWith("v1,")).map((s) => Buffer.from(s.slice(3), "base64"));
  return secrets.some((secret) => {
    const wanted = createHmac("sha256", secret).update(`${id}.${time}.`).update(body).digest();
    return given.some((signature) => signature.length === wanted.length && timingSafeEqual(signature, wanted));
  });
}

// The fallback: asks for the jobs that have not ended as far as is known, and for customers without a job.
async function poll() {
  for (const c of customers.values()) {
    if (c.state !== "asked" && c.state !== "queued") continue;
    try {
      if (c.job) learn(c.id, await call("GET", `/v1/jobs/${c.job}`));
      else await ask(c);
    } catch (error) {
      console.error(`customer ${c.id}: ${error.message}`);
    }
  }
  setTimeout(poll, Number(env("POLL_MS", "60000")));
}

async function answer(req, body) {
  const shown = /^\/customers\/([^/]+)$/.exec(req.url);
  if (req.method === "GET" && shown) return customers.has(shown[1]) ? [200, customers.get(shown[1])] : [404, "no such customer"];
  if (req.method === "POST" && req.url === "/customers") {
    const { id, host } = JSON.parse(body);
    // Stored first, asked for then: after a crash in between, poll asks with the same key.
    if (!customers.has(id)) customers.set(id, { id, host, state: "asked" });
    try {
      await ask({ id, host });
    } catch (error) {
      if (error.final) return [error.status, error.message];
    }
    return [202, customers.get(id)];
  }
  if (req.method === "POST" && req.url === "/hook") {
    if (!verified(req.headers, body)) return [401, "bad signature"];
    const { type, data } = JSON.parse(body);
    const id = data.request?.labels?.customer;
    learn(id, data);
    console.error(`callback ${type}: customer ${id}`);
    return [204];
  }
  return [404, "not found"];
}

createServer(async (req, res) => {
  const parts = [];
  for await (const part of req) parts.push(part);
  const [status, value] = await answer(req, Buffer.concat(parts)).catch((error) => [400, error.message]);
  res.writeHead(status, { "Content-Type": "application/json" }).end(value === undefined ? undefined : JSON.stringify(value) + "\n");
}).listen(Number(listen.split(":")[1]), listen.split(":")[0], () => console.error(`listening on http://${listen}`));
setTimeout(poll, Number(env("POLL_MS", "60000")));
