// Asks the server, and says in words why there is no answer.

export class Refused extends Error {
  constructor(errors) {
    super("refused");
    this.errors = errors;
  }
}

export class Unreachable extends Error {}

const MOST_TRIES = 5;

// The answer in JSON, or as a blob if anything else came. While the server is busy it is asked again.
export async function ask(path, body, type) {
  for (let tries = 1; ; tries++) {
    const response = await send(path, body, type);
    if (response.ok) return response.headers.get("content-type").startsWith("application/json") ? response.json() : response.blob();
    if (response.status === 503 && tries < MOST_TRIES) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * (Number(response.headers.get("retry-after")) || 1)));
      continue;
    }
    if ([502, 503, 504].includes(response.status)) throw new Unreachable();
    throw new Refused(await reasons(response));
  }
}

async function send(path, body, type) {
  try {
    return await fetch(path, body === undefined ? {} : { method: "POST", body, headers: type ? { "content-type": type } : {} });
  } catch {
    throw new Unreachable();
  }
}

async function reasons(response) {
  try {
    return (await response.json()).errors;
  } catch {
    return [{ column: null, expected: "an answer", got: `status ${response.status}` }];
  }
}

// What people read; `errors` in place of the error's own, where some are shown elsewhere.
export function readable(error, errors = null) {
  if (error instanceof Unreachable) return ["The server does not answer.", "Nothing that you entered is lost. Please try again in a moment."];
  if (!(error instanceof Refused)) throw error;
  const lines = (errors ?? error.errors).slice(0, 5).map((entry) => `${entry.column ? `${entry.column}: ` : ""}Expected ${entry.expected}, got ${entry.got}.`);
  return ["This could not be read.", ...lines];
}
